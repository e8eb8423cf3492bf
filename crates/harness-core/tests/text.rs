//! Control sequences, clipping, near names.

use std::borrow::Cow;

use harness_core::host::text::{Clipper, Stripper, clip, is_hidden, line, nearest, strip, visible};
use proptest::prelude::*;

#[test]
fn plain_text_is_borrowed() {
    let text = "ls -la\n\tgrün 👩‍👩‍👧 — ok";
    assert!(matches!(strip(text), Cow::Borrowed(_)));
    assert!(matches!(visible("ls -la\n\tgrün"), Cow::Borrowed(_)));
}

#[test]
fn control_sequences_are_stripped() {
    for (text, shown) in [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b[38:2::1:2:3mx\x1b[?25l", "x"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;Zm9v\u{9c}x", "x"),
        ("\x1bPq#0;2\x1b\\x", "x"),
        ("\x1b_apc\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\x", "x"),
        ("\x1b(B\x1b7\x1bc\x1b=x", "x"),
        ("\u{9b}31mx\u{9d}0;t\x07y\u{85}z", "xyz"),
        ("a\x08\x07\0\x7fb", "ab"),
        ("a\r\nb\rc\r\r\nd", "a\nb\nc\n\nd"),
        ("\x1b\x1b[1mx", "x"),
        ("\x1b[31\x1b[0mx", "x"),
        ("\x1b[3\x18x", "x"),
        ("\x1béx \x1b[é", "éx é"),
        ("a\x1b]never ended\nb\x1b[31", "a\nb"),
    ] {
        assert_eq!(strip(text), shown, "{text:?}");
    }
}

#[test]
fn hidden_characters_are_shown_where_somebody_must_judge() {
    assert_eq!(visible("rm\x1b[2K\r\n\tx"), "rm\\x1b[2K\\r\n\tx");
    assert_eq!(visible("a\u{202e}b\u{200b}c\u{9b}"), "a\\u{202e}b\\u{200b}c\\u{9b}");
    assert_eq!(visible("a\u{a0}b\u{e0041}"), "a\\u{a0}b\\u{e0041}");
    assert!(!is_hidden('é') && !is_hidden('\n') && !is_hidden(' ') && !is_hidden('漢'));
}

#[test]
fn clip_keeps_both_ends_at_character_boundaries() {
    assert!(matches!(clip("12345", 3, 2), Cow::Borrowed("12345")));
    assert_eq!(clip("abc\ndef\nghi\njkl", 4, 3), "abc\n[… 8 bytes (2 lines) left out …]\njkl");
    assert_eq!(clip("ééééé", 3, 3), "é\n[… 6 bytes (0 lines) left out …]\né");
    assert_eq!(clip("abcdef", 0, 0), "[… 6 bytes (0 lines) left out …]\n");
}

#[test]
fn a_clipper_forgets_nothing_that_fits() {
    let mut clipper = Clipper::new(4, 4);
    for byte in b"\xff\0c\xc3\xa9fg" {
        clipper.push(&[*byte]);
    }
    assert!(!clipper.is_cut());
    assert_eq!(clipper.kept().concat(), b"\xff\0c\xc3\xa9fg");
    assert_eq!(clipper.finish(), "\u{fffd}\0céfg");
}

#[test]
fn near_names_are_found_best_first() {
    let tools = ["read", "write", "edit", "grep", "glob", "bash", "todo_write"];
    assert_eq!(nearest("raed", tools), ["read"]);
    assert_eq!(nearest("Read_File", tools), ["read"]);
    assert_eq!(nearest("TodoWrite", tools), ["todo_write"]);
    assert_eq!(nearest("gerp", tools)[0], "grep");
    assert!(nearest("kubernetes", tools).is_empty());
    assert!(nearest("", tools).is_empty());
    assert!(nearest("x", ["a", "b", "c", "x", "X"]).len() <= 3);
}

#[test]
fn digits_stand_in_groups_of_three() {
    let shown = [0, 999, 1_000, 12_345, 1_000_000].map(harness_core::host::text::digits);
    assert_eq!(shown, ["0", "999", "1,000", "12,345", "1,000,000"]);
}

proptest! {
    #[test]
    fn a_stripper_does_not_care_where_its_text_is_cut(
        text in "[a-z\\r\\n\\t\u{1b}\u{7}\u{9b}\\[\\];0-9é\\\\]{0,40}", cut in 0usize..40,
    ) {
        let cut = text.floor_char_boundary(cut.min(text.len()));
        let mut stripper = Stripper::default();
        let pieces = stripper.push(&text[..cut]) + &stripper.push(&text[cut..]);
        prop_assert_eq!(&pieces, &strip(&text));
        prop_assert!(pieces.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()));
        prop_assert_eq!(strip(&pieces).into_owned(), pieces);
    }

    #[test]
    fn a_clipper_says_what_clip_says(
        text in "[a-zé漢\\n]{0,60}", head in 0usize..20, tail in 0usize..20, chunk in 1usize..9,
    ) {
        let mut clipper = Clipper::new(head, tail);
        for bytes in text.as_bytes().chunks(chunk) {
            clipper.push(bytes);
        }
        prop_assert_eq!(clipper.total(), text.len() as u64);
        prop_assert_eq!(clipper.finish(), clip(&text, head, tail).into_owned());
    }
}

#[test]
fn a_line_is_one_line() {
    assert_eq!(line("  \x1b[31mtwo\n\twords\r\n"), "two words");
}
