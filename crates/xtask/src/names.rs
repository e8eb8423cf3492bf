//! "Did you mean …?"

/// The nearest of `known` to `wanted`, as the tail of an error line: `; did you mean a, b?`.
pub(crate) fn near<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let mut ranked: Vec<(usize, &str)> = known
        .iter()
        .map(|name| {
            let contains = wanted.len() > 1 && (name.contains(wanted) || wanted.contains(name));
            (if contains { 0 } else { distance(wanted, name) }, *name)
        })
        .filter(|(far, _)| *far <= (wanted.len() / 3).max(2))
        .collect();
    ranked.sort_unstable();
    let shown: Vec<&str> = ranked.iter().take(3).map(|(_, name)| *name).collect();
    if !shown.is_empty() {
        return format!("; did you mean {}?", shown.join(", "));
    }
    if known.is_empty() {
        return "; there are none yet".to_owned();
    }
    format!("; there are: {}", known.join(", "))
}

/// Levenshtein's distance, by one row of the table.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Whether `name` is a session's: `sNN_snake_case`.
pub(crate) fn is_session(name: &str) -> bool {
    let bytes = name.as_bytes();
    let words = bytes.get(4..).unwrap_or_default();
    number(name).is_some()
        && words.first().is_some_and(u8::is_ascii_lowercase)
        && words.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_')
        && !name.ends_with('_')
        && !name.contains("__")
}

/// The NN of `sNN_…`.
pub(crate) fn number(name: &str) -> Option<u32> {
    let (digits, _) = name.strip_prefix('s')?.split_once('_')?;
    if digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit()) {
        digits.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_two_digits_and_snake_case() {
        for good in ["s03_todo_write", "s24_mine", "s24_x2"] {
            assert!(is_session(good), "{good}");
        }
        for bad in
            ["s3_todo", "03_todo", "s03", "s03_", "s03_Todo", "s03-todo", "s03_a__b", "s03_a/b"]
        {
            assert!(!is_session(bad), "{bad}");
        }
        assert_eq!(number("s24_mine"), Some(24));
    }

    #[test]
    fn near_names_come_first_and_otherwise_all_are_listed() {
        let known = ["s01_loop", "s03_todo_write", "s04_subagent"];
        assert_eq!(near("s03_todo", known.into_iter()), "; did you mean s03_todo_write?");
        assert_eq!(near("s03_tudo_writ", known.into_iter()), "; did you mean s03_todo_write?");
        assert_eq!(
            near("zzz", known.into_iter()),
            "; there are: s01_loop, s03_todo_write, s04_subagent"
        );
        assert_eq!(near("x", std::iter::empty()), "; there are none yet");
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
