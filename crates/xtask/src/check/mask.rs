//! Rust without its comments and without the words of its strings, so that a search finds code alone.

/// Same length, same lines: comments become blanks, the insides of strings become `_`.
pub(crate) fn mask(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut masked = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let named = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let (skip, blank) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), Some(b' '))
        } else if rest.starts_with("/*") {
            (block_comment(rest), Some(b' '))
        } else if rest.starts_with('"') {
            (string(rest), Some(b'_'))
        } else if let Some(length) = raw_string(rest).filter(|_| !named) {
            (length, Some(b'_'))
        } else if rest.starts_with('\'') {
            (character(rest), Some(b'_'))
        } else {
            (rest.chars().next().map_or(1, char::len_utf8), None)
        };
        if let Some(blank) = blank {
            let ends = if blank == b' ' { 0..skip } else { 1..skip.saturating_sub(1) };
            for byte in &mut masked[at + ends.start..at + ends.end.max(ends.start)] {
                if !byte.is_ascii_whitespace() {
                    *byte = blank;
                }
            }
        }
        at += skip;
    }
    String::from_utf8_lossy(&masked).into_owned()
}

fn block_comment(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut depth = 0;
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'/', Some(b'*')) => {
                depth += 1;
                at += 2;
            }
            (b'*', Some(b'/')) => {
                depth -= 1;
                at += 2;
            }
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

fn string(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// `r"…"`, `r#"…"#`, `br"…"`, `cr"…"`; not `r#name`.
fn raw_string(rest: &str) -> Option<usize> {
    let start = rest.strip_prefix(['b', 'c']).unwrap_or(rest).strip_prefix('r')?;
    let opened = start.trim_start_matches('#');
    let hashes = &start[..start.len() - opened.len()];
    let inside = opened.strip_prefix('"')?;
    let closing = format!("\"{hashes}");
    let end = inside.find(&closing).map_or(inside.len(), |at| at + closing.len());
    Some(rest.len() - inside.len() + end)
}

/// A character literal's length; 1 for the tick of a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => rest.get(3..).and_then(|rest| rest.find('\'')).map_or(1, |at| at + 4),
        Some(_) => chars.next().filter(|(_, c)| *c == '\'').map_or(1, |(at, _)| at + 1),
        None => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_not_comments_and_comments_are_not_strings() {
        assert_eq!(mask("a(\"// x\"); // \"y"), "a(\"__ _\");      ");
        assert_eq!(
            mask("r#\"a\"b\"# + 'x' + '\\'' + '\"'; &'a str"),
            "r______# + '_' + '__' + '_'; &'a str"
        );
        assert_eq!(mask("let r#fn = br\"\\\"; b"), "let r#fn = b___\"; b");
        assert_eq!(mask("\"é\" 'é' '\\u{e9}'"), "\"__\" '__' '______'");
    }
}
