//! What a call returned, made fit for a model.

use harness_core::host::text;
use harness_core::host::workspace::Workspace;
use harness_core::{Content, ToolContext, ToolError};
use serde_json::{Value, json};

/// How many bytes of a long text go to the model, from its beginning.
const MAX_HEAD_BYTES: usize = 20_000;
/// How many bytes of a long text go to the model, from its end.
const MAX_TAIL_BYTES: usize = 10_000;
/// The most bytes of all pictures in a result, in base64.
const MAX_PICTURE_BYTES: usize = 5_000_000;
/// How the kinds of pictures that a model can see begin in base64.
const PICTURE_KINDS: [(&str, &str); 4] = [
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
];

/// Puts the pieces of a server's answer together.
#[derive(Clone, Debug, Default)]
pub struct OutputBuilder {
    texts: Vec<String>,
    pictures: Vec<Value>,
    picture_bytes: usize,
}

impl OutputBuilder {
    /// Adds a text.
    pub fn text(&mut self, text: impl Into<String>) {
        self.texts.push(text.into());
    }

    /// Adds a picture in base64, which the server says is of this kind. One that a model cannot see, or that
    /// is too large, is only mentioned.
    pub fn picture(&mut self, claimed_kind: &str, data: String) {
        let has_room = self.picture_bytes + data.len() <= MAX_PICTURE_BYTES;
        match picture_kind(&data) {
            Some(kind) if has_room => {
                self.picture_bytes += data.len();
                let source = json!({"type": "base64", "media_type": kind, "data": data});
                self.pictures.push(json!({"type": "image", "source": source}));
            }
            _ => self.omitted("a picture", claimed_kind, &data),
        }
    }

    /// Mentions something in base64 that a model cannot take.
    pub fn omitted(&mut self, what: &str, kind: &str, data: &str) {
        let bytes = data.len() / 4 * 3;
        self.text(format!("[{what} ({kind}, {bytes} bytes) is not shown]"));
    }

    /// Whether no text was added.
    pub fn has_no_text(&self) -> bool {
        self.texts.is_empty()
    }

    /// The result of a call. Of a long text the model gets both ends, and a file under `.harness` has all of
    /// it.
    pub fn finish(self, cx: &ToolContext) -> Content {
        let text = bounded(self.texts.join("\n"), cx);
        if self.pictures.is_empty() {
            return if text.is_empty() { "(no output)".into() } else { text.into() };
        }
        let mut blocks = Vec::new();
        if !text.is_empty() {
            blocks.push(json!({"type": "text", "text": text}));
        }
        blocks.extend(self.pictures);
        Content::Blocks(blocks)
    }

    /// The error of a call that failed. Only the texts count.
    pub fn into_error(self, cx: &ToolContext) -> ToolError {
        let text = bounded(self.texts.join("\n"), cx);
        if text.is_empty() {
            return ToolError::failed("the call failed, and the server does not say why");
        }
        ToolError::Failed(text)
    }
}

/// What kind of picture this is, by its first bytes. What the server calls it does not count: the API looks as
/// well, and would refuse the whole conversation from then on.
fn picture_kind(data: &str) -> Option<&'static str> {
    let (_, kind) = PICTURE_KINDS.iter().find(|(start, _)| data.starts_with(start))?;
    is_base64(data).then_some(kind)
}

fn is_base64(data: &str) -> bool {
    let digits = data.trim_end_matches('=');
    let padding = data.len() - digits.len();
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    data.len().is_multiple_of(4) && padding <= 2 && digits.bytes().all(is_digit)
}

/// The text, or both its ends and where the rest is.
fn bounded(text: String, cx: &ToolContext) -> String {
    if text.len() <= MAX_HEAD_BYTES + MAX_TAIL_BYTES {
        return text;
    }
    let whole = cx.secrets.mask(&text);
    let stored =
        Workspace::open(&cx.cwd).and_then(|workspace| workspace.store_text("output", &whole));
    let note = match stored {
        Ok(file) => format!("all {} bytes are in {}", whole.len(), file.display()),
        Err(why) => format!("the whole text could not be stored: {why}"),
    };
    format!("{}\n[{note}]", text::clip(&whole, MAX_HEAD_BYTES, MAX_TAIL_BYTES))
}
