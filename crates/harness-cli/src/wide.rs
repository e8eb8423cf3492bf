//! How many columns a text takes: a Chinese character or an emoji takes two, an accent of its own none.

use unicode_width::UnicodeWidthChar;

/// Makes what is before it an emoji, which is wide.
const AS_EMOJI: char = '\u{fe0f}';

/// How many columns a line takes. Terminals differ on joined emoji; none takes more.
pub fn wide(line: &str) -> usize {
    line.chars().map(cells).sum()
}

fn cells(c: char) -> usize {
    if c == AS_EMOJI { 1 } else { c.width().unwrap_or_default() }
}

/// The beginning of a text, on one line of at most so many columns.
pub fn cut(text: &str, columns: usize) -> String {
    let mut text: String =
        text.chars().map(|c| if c == '\n' || c == '\t' { ' ' } else { c }).collect();
    let (mut taken, mut room) = (0, columns.saturating_sub(1));
    let first_beyond = text.char_indices().find(|(_, c)| {
        taken += cells(*c);
        taken > columns
    });
    if first_beyond.is_some() {
        let kept = text.chars().take_while(|c| {
            let fits = cells(*c) <= room;
            room = room.saturating_sub(cells(*c));
            fits
        });
        let kept = kept.map(char::len_utf8).sum();
        text.truncate(kept);
        text.push('…');
    }
    text
}

/// A text and blanks behind it: at least so many columns.
pub fn fill(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(wide(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_character_is_counted_as_two_and_never_halved() {
        assert_eq!(
            ["", "abc", "日本語", "e\u{301}", "🎉", "❤\u{fe0f}"].map(wide),
            [0, 3, 6, 1, 2, 2]
        );
        for (columns, wanted) in [(6, "日本語"), (5, "日本…"), (4, "日…"), (3, "日…"), (2, "…")]
        {
            assert_eq!(cut("日本語", columns), wanted, "{columns}");
        }
        assert_eq!(cut("one\n\ttwo", 20), "one  two");
        assert_eq!([cut("abc", 3), cut("abcd", 3), cut("a", 0)], ["abc", "ab…", "…"]);
        assert_eq!(cut("e\u{301}e\u{301}e", 2), "e\u{301}…", "an accent goes with its letter");
        assert_eq!([fill("日", 4), fill("long", 2)], ["日  ", "long"]);
    }
}
