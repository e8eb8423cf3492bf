//! State files on a real disk: what is kept, what is refused, what is never guessed.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::thread;

use harness_core::host::state::{StateError, StateFile};
use tempfile::TempDir;

type Counts = BTreeMap<String, Vec<u32>>;

fn counts() -> (TempDir, StateFile<Counts>) {
    let folder = TempDir::new().unwrap();
    let file = StateFile::new(folder.path().join("counts.json"));
    (folder, file)
}

#[test]
fn a_value_is_kept_an_entry_a_line() {
    let (_folder, file) = counts();
    assert_eq!(file.load().unwrap(), Counts::new());
    assert!(!file.path().exists());
    let len = file.change(|counts| {
        counts.insert("one".to_owned(), vec![1, 2]);
        counts.insert("two".to_owned(), vec![]);
        Ok(counts.len())
    });
    assert_eq!(len.unwrap(), 2);
    let text = fs::read_to_string(file.path()).unwrap();
    assert_eq!(text, "{\n\"one\": [1, 2],\n\"two\": []\n}\n");
    assert_eq!(file.load().unwrap()["one"], [1, 2]);
}

#[test]
fn a_refused_change_leaves_the_file_as_it_was() {
    let (_folder, file) = counts();
    let refused = file.change(|counts| {
        counts.insert("half".to_owned(), vec![]);
        Err::<(), _>("it makes no sense".to_owned())
    });
    assert_eq!(refused.unwrap_err().to_string(), "it makes no sense");
    assert!(!file.path().exists());
}

#[test]
fn damage_is_named_and_its_bytes_are_kept() {
    let (_folder, file) = counts();
    let huge = format!("{{\"a\": [{}]}}", "9".repeat(1000));
    let deep = "[".repeat(10_000);
    let damaged = ["", "{\"one\": [1", "\0\0\0\0", "[]", "null", "{\"a\": \"b\"}", &huge, &deep];
    for bytes in damaged.iter().map(|text| text.as_bytes()).chain([&b"{\"\xff\": []}"[..]]) {
        fs::write(file.path(), bytes).unwrap();
        let said = file.load().unwrap_err().to_string();
        assert!(said.contains("counts.json\" is damaged (") && said.len() < 300, "{said}");
        let refused = file.change(|_| Ok(()));
        assert!(matches!(refused, Err(StateError::Damaged { .. })));
        assert_eq!(fs::read(file.path()).unwrap(), bytes);
    }
    let large = fs::File::create(file.path()).unwrap();
    large.set_len(65 << 20).unwrap();
    assert!(file.load().unwrap_err().to_string().contains("counts.json\" is larger"));
}

#[test]
fn what_must_hold_is_checked_when_it_is_read_and_before_it_is_kept() {
    let (_folder, file) = counts();
    let few = |counts: &Counts| match counts.len() {
        0..3 => Ok(()),
        more => Err(format!("{more} are too many")),
    };
    let file = file.checked(few);
    let add = |name: &str| file.change(|counts| Ok(counts.insert(name.to_owned(), vec![])));
    add("one").unwrap();
    add("two").unwrap();
    let refused = add("three").unwrap_err();
    assert!(matches!(refused, StateError::Refused(why) if why == "3 are too many"));
    assert_eq!(file.load().unwrap().len(), 2);
    fs::write(file.path(), "{\"a\": [], \"b\": [], \"c\": []}").unwrap();
    let said = file.clone().load().unwrap_err().to_string();
    assert!(said.contains("is damaged (3 are too many)"), "{said}");
}

#[test]
fn what_could_not_be_read_again_is_not_written() {
    let folder = TempDir::new().unwrap();
    let file: StateFile<String> = StateFile::new(folder.path().join("text.json"));
    let put = |len| {
        file.change(|text| {
            text.push_str(&"x".repeat(len));
            Ok(())
        })
    };
    put(1).unwrap();
    let refused = put(64 << 20);
    assert!(refused.unwrap_err().to_string().contains("text.json\" is larger"));
    assert_eq!(file.load().unwrap(), "x");
}

#[test]
fn eight_threads_change_one_value_and_lose_nothing() {
    let (_folder, file) = counts();
    thread::scope(|scope| {
        for name in 0..8 {
            let file = file.clone();
            scope.spawn(move || {
                for n in 0..20 {
                    file.change(|counts| {
                        counts.entry(name.to_string()).or_default().push(n);
                        Ok(())
                    })
                    .unwrap();
                }
            });
        }
    });
    let counted: Vec<u32> = (0..20).collect();
    let all: Counts = (0..8).map(|name| (name.to_string(), counted.clone())).collect();
    assert_eq!(file.load().unwrap(), all);
}

#[tokio::test]
async fn a_change_is_seen_also_one_that_comes_before_the_wait() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("names.json");
    let day = std::time::Duration::from_secs(86_400);
    for text in ["made", "same", "emas"] {
        let change = harness_core::host::state::changed(&path, day);
        harness_core::host::workspace::replace(&path, text.as_bytes()).unwrap();
        change.await;
    }
    harness_core::host::state::changed(&path, std::time::Duration::ZERO).await; // never longer than asked for
}
