//! What a call gave, from the protocol's words into the harness's.

use harness_core::servers::Gathered;
use harness_core::{Content, ToolContext, ToolError};
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};

/// A result for the model.
///
/// # Errors
/// The server says that the call has failed.
pub(crate) fn content(result: CallToolResult, cx: &ToolContext) -> Result<Content, ToolError> {
    let mut gathered = Gathered::default();
    for block in result.content {
        match block {
            ContentBlock::Text(text) => gathered.text(text.text),
            ContentBlock::Image(image) => gathered.picture(&image.mime_type, image.data),
            ContentBlock::Audio(it) => gathered.left_out("audio", &it.mime_type, &it.data),
            ContentBlock::ResourceLink(link) => {
                let about = link.description.map(|about| format!(" ({about})")).unwrap_or_default();
                gathered.text(format!("{}: {}{about}", link.name, link.uri));
            }
            ContentBlock::Resource(it) => match it.resource {
                ResourceContents::TextResourceContents { uri, text, .. } => {
                    gathered.text(format!("{uri}:\n{text}"));
                }
                ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                    gathered.left_out(&uri, mime_type.as_deref().unwrap_or("bytes"), &blob);
                }
                _ => gathered.text("[a resource of a new kind]"),
            },
            _ => gathered.text("[something of a new kind]"),
        }
    }
    // By the protocol it says the same as the words, where there are any.
    if let (true, Some(value)) = (gathered.is_wordless(), result.structured_content) {
        gathered.text(value.to_string());
    }
    match result.is_error {
        Some(true) => Err(gathered.failed(cx)),
        _ => Ok(gathered.done(cx)),
    }
}
