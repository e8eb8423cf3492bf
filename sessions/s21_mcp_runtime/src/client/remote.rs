//! Calls, and what they return: from the protocol's words into the harness's.

use async_trait::async_trait;
use harness_core::{Content, ToolContext, ToolError};
use rmcp::RoleClient;
use rmcp::model::{CallToolRequestParams, CallToolResult, ContentBlock, ResourceContents};
use rmcp::service::{Peer, ServiceError};
use serde_json::{Map, Value};

use super::errors::root_cause;
use crate::servers::{Disconnected, OutputBuilder, Remote};

/// A server that is connected.
pub(super) struct McpRemote {
    pub(super) peer: Peer<RoleClient>,
    /// Whether it is a program of ours. If so, a message that cannot be sent means that it has ended; over
    /// HTTP the next one may arrive.
    pub(super) is_program: bool,
}

#[async_trait]
impl Remote for McpRemote {
    async fn call(
        &self,
        tool: &str,
        input: Map<String, Value>,
        cx: &ToolContext,
    ) -> Result<Result<Content, ToolError>, Disconnected> {
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(input);
        let error = match self.peer.call_tool(params).await {
            Ok(result) => return Ok(content(result, cx)),
            Err(error) => error,
        };
        match error {
            ServiceError::TransportClosed => Err(Disconnected),
            ServiceError::TransportSend(_) if self.is_program => Err(Disconnected),
            ServiceError::McpError(error) => Ok(Err(ToolError::failed(error.message))),
            ServiceError::UnexpectedResponse => {
                Ok(Err(ToolError::failed("the server's answer is not understood")))
            }
            error => {
                let why = root_cause(&error);
                Ok(Err(ToolError::failed(format!("the server cannot be asked: {why}"))))
            }
        }
    }
}

/// The result of a call, for the model.
fn content(result: CallToolResult, cx: &ToolContext) -> Result<Content, ToolError> {
    let mut output = OutputBuilder::default();
    for block in result.content {
        add_block(&mut output, block);
    }
    // By the protocol it says the same as the texts, if there are any.
    if output.has_no_text()
        && let Some(value) = result.structured_content
    {
        output.text(value.to_string());
    }
    if result.is_error == Some(true) {
        return Err(output.into_error(cx));
    }
    Ok(output.finish(cx))
}

fn add_block(output: &mut OutputBuilder, block: ContentBlock) {
    match block {
        ContentBlock::Text(text) => output.text(text.text),
        ContentBlock::Image(image) => output.picture(&image.mime_type, image.data),
        ContentBlock::Audio(audio) => output.omitted("audio", &audio.mime_type, &audio.data),
        ContentBlock::ResourceLink(link) => {
            let mut line = format!("{}: {}", link.name, link.uri);
            if let Some(description) = link.description {
                line += &format!(" ({description})");
            }
            output.text(line);
        }
        ContentBlock::Resource(resource) => add_resource(output, resource.resource),
        _ => output.text("[something of an unknown kind]"),
    }
}

fn add_resource(output: &mut OutputBuilder, resource: ResourceContents) {
    match resource {
        ResourceContents::TextResourceContents { uri, text, .. } => {
            output.text(format!("{uri}:\n{text}"));
        }
        ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
            let kind = mime_type.as_deref().unwrap_or("bytes");
            output.omitted(&uri, kind, &blob);
        }
        _ => output.text("[a resource of an unknown kind]"),
    }
}
