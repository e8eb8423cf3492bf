//! What a call gave, piece by piece, as a result for the model.

use serde_json::{Value, json};

use crate::conversation::message::Content;
use crate::host::text;
use crate::host::workspace::Workspace;
use crate::tool::{ToolContext, ToolError};

/// Of a longer text these bytes go to the model, the first and the last; a file has all of it.
const HEAD: usize = 20_000;
const TAIL: usize = 10_000;
/// The most bytes of a result's pictures, as they are written.
const PICTURES: usize = 5_000_000;
/// How the pictures that a model can see begin, written in base64.
const KINDS: [(&str, &str); 4] = [
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
];

/// The pieces so far.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    words: Vec<String>,
    pictures: Vec<Value>,
    bytes: usize,
}

impl Gathered {
    /// Words.
    pub fn text(&mut self, text: impl Into<String>) {
        self.words.push(text.into());
    }

    /// A picture in base64. One that a model cannot see, or that is too large, is only named.
    pub fn picture(&mut self, kind: &str, data: String) {
        match seen_as(&data) {
            Some(kind) if self.bytes + data.len() <= PICTURES => {
                self.bytes += data.len();
                let source = json!({"type": "base64", "media_type": kind, "data": data});
                self.pictures.push(json!({"type": "image", "source": source}));
            }
            _ => self.left_out("a picture", kind, &data),
        }
    }

    /// Something in base64 that a model cannot take.
    pub fn left_out(&mut self, what: &str, kind: &str, data: &str) {
        self.text(format!("[{what} ({kind}, {} bytes) is not shown]", data.len() / 4 * 3));
    }

    /// Whether there are no words.
    pub fn is_wordless(&self) -> bool {
        self.words.is_empty()
    }

    /// The result. Of long words the model gets both ends, and a file under `.harness` has the whole.
    pub fn done(self, cx: &ToolContext) -> Content {
        let words = bounded(self.words.join("\n"), cx);
        match (self.pictures.is_empty(), words.is_empty()) {
            (true, true) => "(no output)".into(),
            (true, false) => words.into(),
            (false, nothing) => {
                let words = (!nothing).then(|| json!({"type": "text", "text": words}));
                Content::Blocks(words.into_iter().chain(self.pictures).collect())
            }
        }
    }

    /// The same for a call that has failed: only words count.
    pub fn failed(self, cx: &ToolContext) -> ToolError {
        let words = bounded(self.words.join("\n"), cx);
        match words.is_empty() {
            true => ToolError::failed("it failed, and the server does not say why"),
            false => ToolError::Failed(words),
        }
    }
}

/// What kind of picture this is, by its first bytes: what it is called does not count, since the API looks
/// as well, and would refuse the whole conversation from then on.
fn seen_as(data: &str) -> Option<&'static str> {
    let digits = data.trim_end_matches('=');
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let whole = data.len().is_multiple_of(4) && data.len() - digits.len() <= 2;
    let kind = KINDS.iter().find(|(start, _)| data.starts_with(start))?.1;
    (whole && digits.bytes().all(base64)).then_some(kind)
}

fn bounded(text: String, cx: &ToolContext) -> String {
    if text.len() <= HEAD + TAIL {
        return text;
    }
    let whole = cx.secrets.mask(&text);
    let kept =
        Workspace::open(&cx.cwd).and_then(|workspace| workspace.store_text("output", &whole));
    let kept = match &kept {
        Ok(file) => format!("all {} bytes are in {}", whole.len(), file.display()),
        Err(why) => format!("the whole text could not be kept: {why}"),
    };
    format!("{}\n[{kept}]", text::clip(&whole, HEAD, TAIL))
}
