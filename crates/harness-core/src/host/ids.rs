//! Short ids that people can type: eight hexadecimal digits, abbreviated to any prefix that is unique.

use std::hash::{BuildHasher, RandomState};

/// A random id that is not taken.
pub fn fresh(taken: impl Fn(&str) -> bool) -> String {
    loop {
        // The standard library's hash keys are random. An id is no secret, so that is enough.
        let id = format!("{:08x}", RandomState::new().hash_one(0) as u32);
        if !taken(&id) {
            return id;
        }
    }
}

/// Whether a text has the form of an id, and so is safe as a file name.
pub fn is_id(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The position of the only id that begins with `prefix`.
///
/// # Errors
/// No id begins so, or more than one does; the text is for the person who typed the prefix.
pub fn find<'a>(prefix: &str, ids: impl IntoIterator<Item = &'a str>) -> Result<usize, String> {
    let begins = ids.into_iter().enumerate().filter(|(_, id)| id.starts_with(prefix));
    let found: Vec<(usize, &str)> = begins.take(4).collect();
    match found[..] {
        _ if prefix.is_empty() => Err("an empty id names nothing".to_owned()),
        [] => Err(format!("no id begins with {prefix:?}")),
        [(place, _)] => Ok(place),
        [(_, first), (_, second), ..] => Err(format!(
            "more than one id begins with {prefix:?}, {first} and {second} among them; write more of it"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_fresh_and_is_one() {
        let mut ids: Vec<String> = Vec::new();
        for _ in 0..1000 {
            let id = fresh(|id| ids.iter().any(|taken| taken == id));
            assert!(is_id(&id), "{id}");
            ids.push(id);
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 1000);
        for wrong in
            ["", "abc", "0123456", "012345678", "ABCDEF01", "../../aa", "a/b/c/d/", "1234567é"]
        {
            assert!(!is_id(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_beginning_names_one_id_or_none() {
        let ids = ["aa000000", "ab000000", "b0000000"];
        assert_eq!(find("ab", ids), Ok(1));
        assert_eq!(find("b0000000", ids), Ok(2));
        assert!(find("", ["aa000000"]).unwrap_err().contains("empty"));
        assert!(find("c/..", ids).unwrap_err().contains("\"c/..\""));
        let said = find("a", ids).unwrap_err();
        assert!(said.contains("aa000000 and ab000000"), "{said}");
    }
}
