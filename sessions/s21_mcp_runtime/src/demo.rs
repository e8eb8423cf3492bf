//! A small server of our own, for the play: `serve-demo`. This is what the other side looks like.

use anyhow::{Result, bail};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt, transport};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// What it can convert, in metres.
const UNITS: [(&str, f64); 4] = [("km", 1000.0), ("m", 1.0), ("mi", 1609.344), ("ft", 0.3048)];

struct Demo(CancellationToken);

/// Serves on the standard streams until the other side has gone.
///
/// # Errors
/// It fell over.
pub async fn serve() -> Result<()> {
    let fall = CancellationToken::new();
    let service = Demo(fall.clone()).serve_with_ct(transport::stdio(), fall.clone()).await?;
    service.waiting().await?;
    if fall.is_cancelled() {
        bail!("the demo server fell over, as it was asked to");
    }
    Ok(())
}

impl ServerHandler for Demo {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let number = json!({"type": "number"});
        let unit = json!({"type": "string", "description": "A unit of length."});
        let tools = json!([
            {"name": "convert", "description": "Converts a length from one unit to another.",
             "inputSchema": {"type": "object", "required": ["value", "from", "to"],
                "properties": {"value": number, "from": unit, "to": unit}}},
            {"name": "fall_over", "description": "Ends the server in the middle of the call.",
             "inputSchema": {"type": "object", "properties": {}}},
        ]);
        let tools = serde_json::from_value(tools);
        let tools = tools.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        Ok(ListToolsResult::with_all_items(tools))
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if call.name == "fall_over" {
            self.0.cancel();
            return std::future::pending().await;
        }
        let input = serde_json::Value::Object(call.arguments.unwrap_or_default());
        let text = |text: String| vec![ContentBlock::text(text)];
        Ok(match convert(&input) {
            Ok(said) => CallToolResult::success(text(said)),
            Err(why) => CallToolResult::error(text(why)),
        }
        .into())
    }
}

fn convert(input: &serde_json::Value) -> Result<String, String> {
    let unit = |field: &str| {
        let name = input[field].as_str().unwrap_or_default();
        let known = UNITS.iter().find(|(unit, _)| *unit == name);
        let units = UNITS.map(|(unit, _)| unit).join(", ");
        known.copied().ok_or_else(|| format!("`{name}` is no unit; there is {units}"))
    };
    let ((from, one), (to, other)) = (unit("from")?, unit("to")?);
    let value = input["value"].as_f64().ok_or("`value` is no number")?;
    Ok(format!("{value} {from} = {:.2} {to}", value * one / other))
}
