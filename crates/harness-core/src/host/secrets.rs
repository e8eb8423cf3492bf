//! Known secrets: which variables children never get, and what is masked in text.
//!
//! Two nets. The exact values that the caller knows (its own API key, what a `.env` file set) are
//! always masked. Besides, a few key shapes that everybody knows are recognised, for the keys that
//! the harness was never told about. The shapes are narrow on purpose: a mask that eats ordinary
//! words makes the model edit files it cannot see. A real product adds an entropy test and some
//! hundred more shapes (gitleaks has a list), and pays for it with false alarms.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock},
};

use regex::{Captures, Regex};
use serde_json::Value;

/// What stands in the place of a secret.
pub const MASK: &str = "[secret]";

/// Values shorter than this many bytes are not masked: they would hit ordinary words.
pub const SHORTEST: usize = 8;

/// The secrets of one program: hidden variable names and known values. A clone is cheap.
#[derive(Clone, Default)]
pub struct Secrets(Arc<Inner>);

#[derive(Default)]
struct Inner {
    hidden: Vec<String>,
    /// Longest first, so that a value which contains another one is masked whole.
    values: Vec<String>,
    /// Compiled on first use: a session that masks nothing does not pay for it.
    shapes: OnceLock<Option<Shapes>>,
}

struct Shapes {
    key: Regex,
    url: Regex,
}

impl Secrets {
    /// `hidden` are names of environment variables that children never get; `values` are the
    /// secrets themselves. White space around a value is dropped, and a value below
    /// [`SHORTEST`] bytes is ignored.
    pub fn new(
        hidden: impl IntoIterator<Item = String>,
        values: impl IntoIterator<Item = String>,
    ) -> Self {
        let mut values: Vec<String> = values
            .into_iter()
            .map(|value| value.trim().to_owned())
            .filter(|value| value.len() >= SHORTEST)
            .collect();
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        let mut hidden: Vec<String> = hidden.into_iter().collect();
        hidden.sort();
        hidden.dedup();
        Self(Arc::new(Inner { hidden, values, shapes: OnceLock::new() }))
    }

    /// The same, and these values besides.
    #[must_use]
    pub fn and(&self, values: impl IntoIterator<Item = String>) -> Self {
        Self::new(self.0.hidden.clone(), self.0.values.iter().cloned().chain(values))
    }

    /// Names of environment variables that no child gets.
    pub fn hidden(&self) -> &[String] {
        &self.0.hidden
    }

    /// The text with every known value and every well-known key shape replaced by [`MASK`].
    /// Borrowed when nothing was found. Text that arrives in pieces must be joined first: a secret
    /// that is cut in two is not seen.
    pub fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut masked = Cow::Borrowed(text);
        for value in &self.0.values {
            if masked.contains(value.as_str()) {
                masked = Cow::Owned(masked.replace(value.as_str(), MASK));
            }
        }
        let shapes = self.0.shapes.get_or_init(Shapes::compile);
        let Some(shapes) = shapes else { return masked };
        if masked.contains("://") {
            masked = then(masked, |text| mask_urls(&shapes.url, text));
        }
        then(masked, |text| mask_keys(&shapes.key, text))
    }

    /// Masks every text in a JSON value, names of fields left out. True when something was found.
    /// Before it is written, that is: in written JSON a secret may be escaped, and is not seen.
    pub fn mask_json(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => match self.mask(text) {
                Cow::Borrowed(_) => false,
                Cow::Owned(masked) => {
                    *text = masked;
                    true
                }
            },
            // `|` and no `any`: nothing is left out once something was found.
            Value::Array(items) => items.iter_mut().fold(false, |hit, it| hit | self.mask_json(it)),
            Value::Object(fields) => {
                fields.values_mut().fold(false, |hit, it| hit | self.mask_json(it))
            }
            _ => false,
        }
    }
}

impl fmt::Debug for Secrets {
    /// Counts only: a debug print must not become the leak.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hidden, values) = (self.0.hidden.len(), self.0.values.len());
        write!(f, "Secrets({hidden} hidden names, {values} values)")
    }
}

impl Shapes {
    /// `None` cannot happen: both patterns are constants, and the tests run them.
    fn compile() -> Option<Self> {
        // Every branch begins with a literal, so that the search runs at memory speed. What a
        // look-behind would test (that no word goes on to the left) is tested by hand below.
        let key = r"sk-ant-[\w-]{16,}|sk-[\w-]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{22,}|AKIA[A-Z0-9]{16}|ASIA[A-Z0-9]{16}|xox[abeprs]-[A-Za-z0-9-]{10,}|[Bb]earer [\w.~+/-]{16,}=*|BEARER [\w.~+/-]{16,}=*";
        let url = r"://([^\s/?#:@'\x22`<>]*):([^\s/'\x22`<>]+)@";
        let key = regex::RegexBuilder::new(key).unicode(false).build().ok()?;
        Some(Self { key, url: Regex::new(url).ok()? })
    }
}

fn mask_urls<'a>(url: &Regex, text: &'a str) -> Cow<'a, str> {
    url.replace_all(text, |found: &Captures<'_>| {
        // A place-holder is not a secret, and the model needs to see it: `$PASS`, `{pass}`, `***`.
        if found[2].starts_with(['$', '{', '*', '%', '[']) {
            return found[0].to_owned();
        }
        format!("://{MASK}@")
    })
}

fn mask_keys<'a>(key: &Regex, text: &'a str) -> Cow<'a, str> {
    let (mut masked, mut copied, mut from) = (String::new(), 0, 0);
    while let Some(found) = key.find_at(text, from) {
        let (start, whole) = (found.start(), found.as_str());
        let inside_word = text[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if inside_word || !looks_random(whole) {
            // Every branch begins with ASCII, so one byte further is a character boundary.
            from = start + 1;
            continue;
        }
        // "Bearer" itself stays: the model sees that a token is there.
        let kept = whole.find(' ').map_or(0, |space| space + 1);
        masked.push_str(&text[copied..start + kept]);
        masked.push_str(MASK);
        (copied, from) = (found.end(), found.end());
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    masked.push_str(&text[copied..]);
    Cow::Owned(masked)
}

/// Keys have digits; CSS classes (`sk-fading-circle-container`) and prose have not. OpenAI's short
/// prefix is met in the wild, so there an upper-case letter is asked for too.
fn looks_random(key: &str) -> bool {
    let digit = key.bytes().any(|byte| byte.is_ascii_digit());
    let loose = key.starts_with("sk-") && !key.starts_with("sk-ant-");
    digit && (!loose || key.bytes().any(|byte| byte.is_ascii_uppercase()))
}

fn then<'a>(text: Cow<'a, str>, step: impl Fn(&str) -> Cow<'_, str>) -> Cow<'a, str> {
    match step(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(changed) => Cow::Owned(changed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Put together at run time, so that no scanner takes this file for a leak.
    fn keys() -> Vec<String> {
        let tail = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7";
        vec![
            format!("sk-ant-api03-{tail}_{tail}-AA"),
            format!("sk-proj-{tail}{tail}"),
            format!("sk-{tail}"),
            format!("ghp_{tail}abcdefghi"),
            format!("github_pat_{tail}_{tail}"),
            "AKIA".to_owned() + "IOSFODNN7EXAMPL1",
            format!("xoxb-1234567890-{tail}"),
        ]
    }

    #[test]
    fn well_known_keys_are_masked_wherever_they_stand() {
        let secrets = Secrets::default();
        for key in keys() {
            for text in
                [format!("KEY={key}"), format!("\"{key}\","), format!("é: {key} end"), key.clone()]
            {
                let masked = secrets.mask(&text);
                assert!(masked.contains(MASK) && !masked.contains(&key), "{text}: {masked}");
            }
        }
        let bearer = format!("Authorization: Bearer {}", keys()[2].replace("sk-", "tok"));
        assert_eq!(secrets.mask(&bearer), "Authorization: Bearer [secret]");
    }

    #[test]
    fn credentials_in_urls_are_masked_and_the_host_stays() {
        let secrets = Secrets::default();
        let mask = |text: &str| secrets.mask(text).into_owned();
        assert_eq!(mask("redis://:hunter2@db:6379/0"), "redis://[secret]@db:6379/0");
        assert_eq!(mask("x https://me:p@ss@host/a y"), "x https://[secret]@host/a y");
        for same in [
            "ssh://git@github.com/a/b",
            "http://localhost:8080/a@b",
            "postgres://$USER:$PASS@host/db",
            "see http://a.b:80 and c@d.e",
        ] {
            assert_eq!(mask(same), same);
        }
    }

    #[test]
    fn ordinary_words_are_left_alone_and_borrowed() {
        let secrets = Secrets::new([], ["short".to_owned(), "  ".to_owned()]);
        let text = "a risk-averse task-management-system-of-2024-With-Names, \
                    class=\"sk-fading-circle-container2\", the bearer of responsibilities, \
                    Bearer authentication-header-value, ghp_, AKIA, sk-1234, short, \
                    b7f3c2d1e5a6978812345678901234567890abcd";
        assert!(matches!(secrets.mask(text), Cow::Borrowed(same) if same == text));
    }

    #[test]
    fn known_values_are_masked_longest_first() {
        let secrets =
            Secrets::new([], ["correct horse".to_owned(), " correct horse battery\n".to_owned()]);
        assert_eq!(secrets.mask("a correct horse battery b"), "a [secret] b");
        assert_eq!(secrets.mask("correct horse, correct horse"), "[secret], [secret]");
    }

    #[test]
    fn json_is_masked_wherever_a_text_stands_also_where_writing_would_escape_it() {
        let secrets = Secrets::new([], ["pass\"word\\1".to_owned()]);
        let mut value = serde_json::json!({"a": ["x pass\"word\\1", 1], "b": {"c": keys()[0]}});
        assert!(secrets.mask_json(&mut value));
        assert_eq!(value, serde_json::json!({"a": ["x [secret]", 1], "b": {"c": "[secret]"}}));
        assert!(!secrets.mask_json(&mut value));
    }

    #[test]
    fn debug_shows_counts_only() {
        let secrets = Secrets::new(["API_KEY".to_owned()], ["a-secret-value".to_owned()]);
        assert_eq!(format!("{secrets:?}"), "Secrets(1 hidden names, 1 values)");
        assert_eq!(secrets.hidden(), ["API_KEY"]);
    }
}
