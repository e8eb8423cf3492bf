//! Bytes to events: the same ones, however the bytes come.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use harness_core::model::anthropic::sse::{Decoder, LONGEST, TooLong};
use proptest::prelude::*;

fn events<'a>(
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<(String, String)>, TooLong> {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.feed(chunk);
        while let Some(event) = decoder.next_event()? {
            events.push((event.name.into_owned(), event.data.into_owned()));
        }
    }
    Ok(events)
}

fn read(bytes: &[u8]) -> Vec<(String, String)> {
    events([bytes]).unwrap()
}

fn datas(bytes: &[u8]) -> Vec<String> {
    read(bytes).into_iter().map(|(_, data)| data).collect()
}

#[test]
fn lines_end_in_any_of_three_ways() {
    for end in ["\n", "\r", "\r\n"] {
        let stream = ["event: a", "data: 1", "", "data: 2", "data: 3", "", ""].join(end);
        let expected = [("a", "1"), ("", "2\n3")].map(|(n, d)| (n.to_owned(), d.to_owned()));
        assert_eq!(read(stream.as_bytes()), expected, "{end:?}");
    }
}

#[test]
fn a_byte_order_mark_is_skipped_once() {
    assert_eq!(datas(b"\xef\xbb\xbfdata: 1\n\n"), ["1"]);
    assert_eq!(datas(b"\xef\xbb\xbf\n\xef\xbb\xbfdata: 1\n\n"), [""; 0]);
}

#[test]
fn fields_are_read_as_the_standard_says() {
    assert_eq!(datas(b"data:1\n\ndata:  2\n\ndata\n\ndata: a:b\n\n"), ["1", " 2", "", "a:b"]);
    assert_eq!(datas(b": comment\n\ndatax: 1\nid: 2\nretry: 3\nDATA: 4\n\n"), [""; 0]);
    // An event without data is none, and its name does not stick to the next one.
    assert_eq!(read(b"event: a\n\ndata: 1\n\n"), [(String::new(), "1".to_owned())]);
    assert_eq!(read(b"event: a\nevent: b\ndata: 1\n\n")[0].0, "b");
}

#[test]
fn what_is_not_utf_8_is_replaced_and_nothing_else_is_lost() {
    assert_eq!(datas(b"data: a\xffb\n\ndata: c\n\n"), ["a\u{fffd}b", "c"]);
}

#[test]
fn an_event_that_the_end_cuts_off_is_none() {
    assert_eq!(datas(b"data: 1\n\ndata: 2\n"), ["1"]);
}

#[test]
fn ten_megabytes_in_one_line_are_fine_and_an_endless_line_is_not() {
    let long = [b"data: ".as_slice(), &vec![b'x'; 10 << 20], b"\n\n"].concat();
    assert_eq!(events(long.chunks(1400)).unwrap()[0].1.len(), 10 << 20);
    let endless = vec![b'x'; LONGEST + 2];
    assert_eq!(events(endless.chunks(64 << 10)), Err(TooLong));
    let lines = b"data: 0123456789\n".repeat(LONGEST / 17 + 2);
    assert_eq!(events(lines.chunks(64 << 10)), Err(TooLong));
    assert_eq!(events([lines.as_slice()]), Err(TooLong));
}

#[test]
fn comments_do_not_pile_up() {
    let mut decoder = Decoder::default();
    for _ in 0..1000 {
        decoder.feed(b": still here\n");
        assert_eq!(decoder.next_event(), Ok(None));
    }
    assert_eq!(decoder.waiting(), 0);
}

const ALL_AT_ONCE: &str = "\u{feff}: hello\r\nevent: é\r\ndata: {\"a\":\"ü€😀\"}\r\n\r\n\
    data: 1\rdata: 2\r\r\ndata: 3\n\r\nevent: none\n\n:\n\ndata: last\n\ndata: cut";

#[test]
fn every_split_point_gives_the_same_events() {
    let bytes = ALL_AT_ONCE.as_bytes();
    let whole = read(bytes);
    assert_eq!(whole.len(), 4);
    for at in 0..=bytes.len() {
        let (a, b) = bytes.split_at(at);
        assert_eq!(events([a, b]).unwrap(), whole, "split at {at}");
    }
    assert_eq!(events(bytes.chunks(1)).unwrap(), whole);
}

#[test]
fn an_event_whose_name_is_empty_is_an_event_without_a_name() {
    assert_eq!(read(b"event: \ndata\n\n"), [(String::new(), String::new())]);
}

proptest! {
    #[test]
    fn any_chunking_of_any_bytes_gives_the_same_events(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "data", "event", ":", " ", "\n", "\r", "\r\n", "\n\n", "x", "é", "😀", "\u{feff}", "data: {}\n\n", "id: 1",
        ]), 0..40),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let bytes = pieces.concat().into_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
        prop_assert_eq!(events(chunks).unwrap(), read(&bytes));
        prop_assert_eq!(read(&bytes), reference(&String::from_utf8_lossy(&bytes)));
    }
}

/// The standard's algorithm, slowly.
fn reference(text: &str) -> Vec<(String, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut name, mut data) = (Vec::new(), String::new(), None::<String>);
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop(); // not ended
    for line in lines {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() => {
                let name = std::mem::take(&mut name);
                events.extend(data.take().map(|data| (name, data)));
            }
            "event" => name = value.to_owned(),
            "data" => {
                data =
                    Some(data.map_or_else(|| value.to_owned(), |data| format!("{data}\n{value}")));
            }
            _ => {}
        }
    }
    events
}
