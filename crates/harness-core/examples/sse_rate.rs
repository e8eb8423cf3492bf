//! Prints how fast a stream of small text deltas is read, bytes to deltas, on one core:
//! `cargo run --release -p harness-core --example sse_rate`
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement, run by hand")]

use std::time::Instant;

use harness_core::Delta;
use harness_core::model::anthropic::assemble::Assembler;
use harness_core::model::anthropic::sse::Decoder;

fn main() {
    let mut stream = String::from(concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":9}}}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,",
        "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    ));
    let words = "Fifty bytes of text, as a model would stream it.  ";
    assert_eq!(words.len(), 50);
    for _ in 0..200_000 {
        stream.push_str("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"");
        stream.push_str(words);
        stream.push_str("\"}}\n\n");
    }
    stream.push_str("event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n");
    stream.push_str("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");

    for chunk in [1024, 16 * 1024, 256 * 1024] {
        let mut best = f64::MAX;
        for _ in 0..7 {
            let (mut decoder, mut assembler) = (Decoder::default(), Assembler::default());
            let (mut deltas, mut done) = (0, false);
            let begun = Instant::now();
            for chunk in stream.as_bytes().chunks(chunk) {
                decoder.feed(chunk);
                while let Some(event) = decoder.next_event().unwrap() {
                    match assembler.push(&event).unwrap() {
                        Some(Delta::Done(_)) => done = true,
                        Some(_) => deltas += 1,
                        None => {}
                    }
                }
            }
            best = best.min(begun.elapsed().as_secs_f64());
            assert!(done && deltas == 200_000);
        }
        let rate = stream.len() as f64 / best / 1e6;
        println!(
            "chunks of {:3} KiB: {rate:.0} MB/s, {:.0} ns an event",
            chunk / 1024,
            best / 200_000.0 * 1e9
        );
    }
}
