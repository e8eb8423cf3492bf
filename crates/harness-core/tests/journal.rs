//! Records that survive: crashes, damage, many writers.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
    thread,
};

use harness_core::host::journal::{Cursor, Journal, JournalError, LINE_LIMIT, Lines};
use harness_testkit::fifo;
use proptest::prelude::*;
use serde_json::{Value, json, value::RawValue};
use tempfile::TempDir;

fn journal() -> (TempDir, PathBuf, Journal<Value>) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("j.jsonl");
    (folder, path.clone(), Journal::new(path))
}

fn values(lines: &Lines<Value>) -> Vec<Value> {
    lines.records.iter().map(|record| record.value.clone()).collect()
}

fn add(path: &PathBuf, bytes: &[u8]) {
    fs::File::options().append(true).create(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn what_is_appended_is_read_and_offsets_go_on() {
    let (_folder, path, journal) = journal();
    assert!(journal.read().unwrap().records.is_empty());
    let one = journal.append(&json!({"text": "a\nb\u{2028}"})).unwrap();
    let end = journal.append_all(&[json!(2), json!([3])]).unwrap();
    assert_eq!(end, fs::metadata(&path).unwrap().len());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let lines = journal.read().unwrap();
    assert_eq!(values(&lines), [json!({"text": "a\nb\u{2028}"}), json!(2), json!([3])]);
    assert_eq!((lines.records[0].end, lines.end), (one, end));
    assert_eq!(values(&journal.read_from(one).unwrap()), [json!(2), json!([3])]);
    assert!(journal.read_from(end).unwrap().records.is_empty());
    assert_eq!(journal.append_all(&[]).unwrap(), end);
    for nowhere in [one - 1, end + 1] {
        assert!(matches!(journal.read_from(nowhere), Err(JournalError::Offset { .. })));
    }
}

#[test]
fn one_that_does_not_wait_for_the_disk_is_read_like_any_other() {
    let (_folder, path, _) = journal();
    let journal = Journal::new(&path).unsynced();
    let end = journal.clone().append_all(&[json!(1), json!(2)]).unwrap();
    assert_eq!(end, fs::metadata(&path).unwrap().len());
    assert_eq!(values(&journal.read().unwrap()), [json!(1), json!(2)]);
}

#[test]
fn a_raw_value_over_several_lines_becomes_one_line() {
    let (_folder, path, _) = journal();
    let raw = RawValue::from_string("{\n \"a\":\r\n \"b\\n\"\n}".to_owned()).unwrap();
    Journal::new(&path).append(&raw).unwrap();
    let lines = Journal::<Value>::new(&path).read().unwrap();
    assert_eq!(values(&lines), [json!({"a": "b\n"})]);
}

#[test]
fn a_torn_tail_is_told_and_never_glued_to_the_next_record() {
    let (_folder, path, journal) = journal();
    let end = journal.append(&json!(1)).unwrap();
    add(&path, b"{\"half\":");
    let lines = journal.read().unwrap();
    assert_eq!((values(&lines), lines.end), (vec![json!(1)], end));
    let torn = lines.torn.unwrap();
    assert_eq!((torn.offset, torn.len, torn.bytes.as_slice()), (end, 8, &b"{\"half\":"[..]));
    journal.append(&json!(2)).unwrap();
    let lines = journal.read_from(end).unwrap();
    assert_eq!((values(&lines), lines.torn), (vec![json!(2)], None));
    assert_eq!((lines.bad[0].line, lines.bad[0].offset), (1, end));
}

#[test]
fn bad_lines_are_told_and_the_others_kept() {
    let (_folder, path, journal) = journal();
    journal.append(&json!(1)).unwrap();
    add(&path, b"not json\n\n  \n\0\0\0\0\n\"\xff\"\n[1\n{\"a\":1} {\"b\":2}\n");
    let deep = "[".repeat(200_000) + "\n";
    add(&path, deep.as_bytes());
    journal.append(&json!(2)).unwrap();
    let lines = journal.read().unwrap();
    assert_eq!(values(&lines), [json!(1), json!(2)]);
    let told: Vec<_> = lines.bad.iter().map(|bad| (bad.line, bad.why.as_str())).collect();
    assert_eq!(told.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 5, 6, 7, 8, 9]);
    assert!(told[1].1.contains("NUL") && told[2].1.contains("UTF-8"), "{told:?}");
    assert_eq!(lines.end, fs::metadata(&path).unwrap().len());
    // Right JSON of the wrong type is told as well, and not lost.
    let typed = Journal::<u8>::new(&path).read().unwrap();
    assert_eq!((typed.records.len(), typed.bad.len()), (2, 6));
}

#[test]
fn a_line_above_the_limit_is_refused_and_skipped_in_bounded_memory() {
    let (_folder, path, journal) = journal();
    let error = journal.append(&json!("x".repeat(LINE_LIMIT))).unwrap_err();
    assert!(matches!(error, JournalError::TooLong { .. }));
    assert!(!path.exists());
    // A hundred megabytes of nothing, then a good record.
    add(&path, b"");
    fs::File::options().write(true).open(&path).unwrap().set_len(100 << 20).unwrap();
    journal.append(&json!(1)).unwrap();
    let lines = journal.read().unwrap();
    assert_eq!(values(&lines), [json!(1)]);
    assert!(lines.bad[0].why.contains("longer"), "{:?}", lines.bad);
}

#[test]
fn eight_writers_lose_and_tear_nothing() {
    let (_folder, _path, journal) = journal();
    thread::scope(|scope| {
        for writer in 0..8 {
            let journal = &journal;
            scope.spawn(move || {
                for number in 0..25 {
                    let record = json!([writer, number, "x".repeat(5000)]);
                    journal.append(&record).unwrap();
                    assert!(journal.read().unwrap().bad.is_empty());
                }
            });
        }
    });
    let lines = journal.read().unwrap();
    assert!(lines.bad.is_empty() && lines.torn.is_none());
    let mut next = BTreeMap::new();
    for record in values(&lines) {
        let place = next.entry(record[0].as_u64().unwrap()).or_insert(0);
        assert_eq!(record[1], *place, "each writer's records keep their order");
        *place += 1;
    }
    assert!(next.len() == 8 && next.values().all(|count| *count == 25));
}

#[test]
fn what_is_no_file_is_refused_and_does_not_block() {
    let (folder, path, journal) = journal();
    let pipe = folder.path().join("pipe");
    fifo(&pipe);
    for place in [pipe.as_path(), folder.path()] {
        let journal = Journal::<Value>::new(place);
        assert!(journal.read().is_err() && journal.append(&json!(1)).is_err());
    }
    symlink(folder.path().join("gone/x"), &path).unwrap();
    let said = journal.append(&json!(1)).unwrap_err().to_string();
    assert!(said.contains("j.jsonl"), "{said}");
}

#[test]
fn a_cursor_goes_on_where_it_was_saved() {
    let (folder, _path, journal) = journal();
    let cursor = Cursor::new(folder.path().join("cursor"));
    assert_eq!(cursor.load(&journal).unwrap().offset, 0);
    let end = journal.append(&json!(1)).unwrap();
    cursor.save(end).unwrap();
    journal.append(&json!(2)).unwrap();
    let place = cursor.load(&journal).unwrap();
    assert_eq!((place.offset, &place.rebuilt), (end, &None));
    assert_eq!(values(&journal.read_from(place.offset).unwrap()), [json!(2)]);
}

#[test]
fn a_damaged_cursor_is_set_aside_and_told() {
    let (folder, _path, journal) = journal();
    let end = journal.append(&json!({"a": 1})).unwrap();
    let path = folder.path().join("cursor");
    let beyond = format!("{{\"offset\":{}}}", end + 5);
    for damage in ["", "\0\0", "{\"offset\":-1}", "{\"offset\":3}", "7", "{\"offset\":0,\"v\":2}"]
        .into_iter()
        .chain([beyond.as_str()])
    {
        fs::write(&path, damage).unwrap();
        let place = Cursor::new(&path).load(&journal).unwrap();
        assert_eq!(place.offset, 0);
        assert!(place.rebuilt.unwrap().contains("cursor.damaged"), "{damage:?}");
        assert_eq!(fs::read_to_string(folder.path().join("cursor.damaged")).unwrap(), damage);
        assert!(!path.exists());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]
    #[test]
    fn any_truncation_loses_at_most_the_torn_record(
        texts in prop::collection::vec(".{0,12}", 1..6), cut in 0usize..200,
    ) {
        let (_folder, path, journal) = journal();
        let records: Vec<Value> = texts.iter().map(|text| json!({ "text": text })).collect();
        journal.append_all(&records).unwrap();
        let ends: Vec<u64> = journal.read().unwrap().records.iter().map(|it| it.end).collect();
        let len = (cut as u64).min(ends[ends.len() - 1]);
        fs::File::options().write(true).open(&path).unwrap().set_len(len).unwrap();

        let whole = ends.iter().filter(|end| **end <= len).count();
        let lines = journal.read().unwrap();
        prop_assert_eq!(values(&lines), &records[..whole]);
        prop_assert!(lines.bad.is_empty());
        prop_assert_eq!(lines.torn.is_some(), lines.end < len);

        journal.append(&json!("next")).unwrap();
        let lines = journal.read().unwrap();
        prop_assert_eq!(&values(&lines)[..whole], &records[..whole]);
        prop_assert_eq!(values(&lines).pop(), Some(json!("next")));
        prop_assert!(lines.torn.is_none());
    }
}

#[test]
fn a_visit_sees_each_line_in_order_and_holds_none() {
    let (_folder, path, journal) = journal();
    add(&path, b"1\nbroken\n2\n\n3");
    let mut seen = Vec::new();
    let tail = journal.visit(0, |line| seen.push(line.map(|it| it.value).map_err(|it| it.line)));
    assert_eq!(seen, [Ok(json!(1)), Err(2), Ok(json!(2))]);
    let tail = tail.unwrap();
    assert_eq!((tail.end, tail.torn.unwrap().bytes), (12, b"3".to_vec()));
}
