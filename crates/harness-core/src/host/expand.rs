//! Variables in configuration: `${NAME}` and `${NAME:-default}`.

/// Replaces every `${NAME}` by what `lookup` knows, and `${NAME:-default}` by the default where it knows
/// nothing, or nothing but "". Everything else stays as it is: `$NAME`, `$$`, `${` without an end. What
/// is put in is not looked at again.
///
/// # Errors
/// The first name that is not known and has no default.
pub(crate) fn expand(
    text: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        expanded.push_str(before);
        let Some((inside, after)) = from[2..].split_once('}') else {
            rest = from;
            break;
        };
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_name(name) {
            expanded.push_str("${");
            rest = &from[2..];
            continue;
        }
        match (lookup(name), default) {
            (Some(value), None) => expanded.push_str(&value),
            (Some(value), Some(_)) if !value.is_empty() => expanded.push_str(&value),
            (_, Some(default)) => expanded.push_str(default),
            (None, None) => return Err(name.to_owned()),
        }
        rest = after;
    }
    Ok(expanded + rest)
}

fn is_name(name: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        expand(text, |name| match name {
            "HOME" => Some("/home/me".to_owned()),
            "EMPTY" => Some(String::new()),
            "ODD" => Some("${HOME}".to_owned()),
            _ => None,
        })
    }

    #[test]
    fn names_become_values_or_their_defaults() {
        assert_eq!(expanded("${HOME}/x:${HOME}").unwrap(), "/home/me/x:/home/me");
        assert_eq!(expanded("${NO:-a b}${HOME:-c}${NO:-}").unwrap(), "a b/home/me");
        assert_eq!(expanded("[${EMPTY}][${EMPTY:-d}]").unwrap(), "[][d]");
        assert_eq!(expanded("é${ODD}é").unwrap(), "é${HOME}é");
    }

    #[test]
    fn an_unknown_name_without_a_default_is_an_error_that_names_it() {
        assert_eq!(expanded("Bearer ${TOKEN}").unwrap_err(), "TOKEN");
    }

    #[test]
    fn what_only_looks_like_a_name_stays() {
        for text in ["$HOME", "$$", "${", "${HOME", "${a b}", "${1}", "${}", "a}b", "${é}"] {
            assert_eq!(expanded(text).unwrap(), text);
        }
        assert_eq!(expanded("${${HOME}}").unwrap(), "${/home/me}");
    }
}
