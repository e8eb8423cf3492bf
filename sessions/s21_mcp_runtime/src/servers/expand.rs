//! Variables in configuration: `${NAME}` and `${NAME:-default}`.

/// Replaces every `${NAME}` by what `lookup` knows, and `${NAME:-default}` by the default if `lookup` knows
/// nothing or only an empty value. Everything else stays as it is: `$NAME`, `$$`, `${` without an end. Values
/// are not expanded again.
///
/// # Errors
/// The first name that is unknown and has no default.
pub(super) fn expand(
    text: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        expanded.push_str(&rest[..start]);
        let after_start = &rest[start + 2..];
        let Some((inside, after)) = after_start.split_once('}') else {
            rest = &rest[start..];
            break;
        };
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_name(name) {
            expanded.push_str("${");
            rest = after_start;
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
    expanded.push_str(rest);
    Ok(expanded)
}

fn is_name(name: &str) -> bool {
    let may_start = |c: char| c.is_ascii_alphabetic() || c == '_';
    let may_follow = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(may_start) && name.chars().all(may_follow)
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
