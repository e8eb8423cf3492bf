//! Files that people write and programs act on: every fault has its line.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use harness_core::FrontMatter;
use harness_core::host::front_matter::read_text;

const KNOWN: [&str; 4] = ["name", "about", "tools", "metadata"];

fn faults(text: &str) -> Vec<String> {
    let mut front = match FrontMatter::parse(Path::new("a.md"), text, &KNOWN) {
        Ok(front) => front,
        Err(faults) => return faults.iter().map(ToString::to_string).collect(),
    };
    front.required("name", 8);
    front.text("about", 8);
    front.words("tools");
    front.pairs("metadata");
    let faults = front.sound().err().unwrap_or_default();
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn fields_and_body_are_told_apart() {
    let text = "---\nname: one\ntools: [read, grep]\nmetadata: {version: 1.0, draft: true}\n---\n\nBody.\n";
    let mut front = FrontMatter::parse(Path::new("a.md"), text, &KNOWN).unwrap();
    assert_eq!(front.required("name", 8), "one");
    assert_eq!(front.text("about", 8), None);
    assert_eq!(front.words("tools").unwrap(), ["read", "grep"]);
    let pairs = front.pairs("metadata").unwrap();
    assert_eq!(pairs, [("version", "1.0"), ("draft", "true")].map(|(k, v)| (k.into(), v.into())));
    assert_eq!(front.sound().unwrap(), "Body.");
}

#[test]
fn a_rule_in_the_body_does_not_end_anything() {
    let text = "---\nname: one\n---\nfirst\n\n---\nname: two\n---\nlast\n";
    let mut front = FrontMatter::parse(Path::new("a.md"), text, &KNOWN).unwrap();
    assert_eq!(front.required("name", 8), "one");
    assert_eq!(front.sound().unwrap(), "first\n\n---\nname: two\n---\nlast");
}

#[test]
fn words_may_stand_in_one_text() {
    let text = "---\ntools: read, grep\n  glob\n---\nx";
    let mut front = FrontMatter::parse(Path::new("a.md"), text, &KNOWN).unwrap();
    assert_eq!(front.words("tools").unwrap(), ["read", "grep", "glob"]);
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_their_lines() {
    let text =
        "---\nmetadata: [1]\ntools: {a: b}\nabout: much too long\nnmae: x\nname: [x]\n---\nBody.\n";
    assert_eq!(
        faults(text),
        [
            "a.md:2: `metadata` must be a map from text to text",
            "a.md:3: `tools` must be words or a list of them",
            "a.md:4: `about` has 13 characters, 8 are allowed",
            "a.md:5: there is no field \"nmae\" here; there is name",
            "a.md:6: `name` must be text",
        ]
    );
}

#[test]
fn what_is_missing_or_empty_is_told() {
    assert_eq!(faults("---\nabout: x\n---\n"), ["a.md:1: `name` is missing"]);
    assert_eq!(faults("---\n---\n"), ["a.md:1: `name` is missing"]);
    assert_eq!(faults("---\nname: \" \"\n---\n"), ["a.md:2: `name` is empty"]);
    assert_eq!(faults("---\nname:\n---\n"), ["a.md:2: `name` must be text"]);
}

#[test]
fn a_file_without_front_matter_says_so() {
    let none = ["a.md:1: there is no front matter; the first line must be `---`"];
    for text in ["", "# Title\n", "\n---\nname: x\n---\n", "----\nname: x\n----\n"] {
        assert_eq!(faults(text), none, "{text:?}");
    }
    let open = ["a.md:1: the front matter does not end; a second line `---` is missing"];
    for text in ["---", "---\nname: x\n", "---\nname: x\n ---\n"] {
        assert_eq!(faults(text), open, "{text:?}");
    }
}

#[test]
fn yaml_that_is_none_has_a_line_and_a_hint() {
    let stray = faults("---\nname: one\nabout: Use when: always\n---\n");
    assert_eq!(stray.len(), 1);
    assert!(stray[0].starts_with("a.md:3: "), "{stray:?}");
    assert!(stray[0].ends_with("; put quotes around a text that holds `: `"), "{stray:?}");
    let twice = faults("---\nname: one\nabout: x\nname: two\n---\n");
    assert!(twice[0].contains("name"), "{twice:?}");
    for odd in
        ["---\n- a\n---\n", "---\ntext\n---\n", "---\n\tname: x\n---\n", "---\nname: *x\n---\n"]
    {
        assert_eq!(faults(odd).len(), 1, "{odd:?}");
    }
}

#[test]
fn what_a_file_says_cannot_reach_the_terminal() {
    let faults = faults("---\nname: one\n\"\\e[31m\": x\n---\n");
    assert_eq!(faults.len(), 1);
    assert!(!faults[0].contains('\x1b'), "{faults:?}");
}

#[test]
fn a_text_file_is_read_whole_plain_and_inside_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let at = format!("{}/", folder.path().display());
    let read = |name: &str| {
        let read = read_text(folder.path(), Path::new(name), 100);
        read.map_err(|fault| fault.to_string().replace(&at, ""))
    };
    write("plain", b"\xef\xbb\xbfone\r\ntwo\r\n");
    assert_eq!(read("plain").unwrap(), "one\ntwo\n");
    write("bytes", b"one\ntwo \xff\n");
    assert_eq!(read("bytes").unwrap_err(), "bytes:2: this is not UTF-8 text");
    write("large", &[b'x'; 101]);
    let large = read("large").unwrap_err();
    assert!(large.starts_with("large: 101 bytes are too many, 100 are allowed"), "{large}");
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link")).unwrap();
    for outside in ["link", "../x", "/etc/hostname"] {
        let why = read(outside).unwrap_err();
        assert!(why.contains("leads out of"), "{why}");
    }
    assert!(read("none").unwrap_err().contains("does not exist"));
}
