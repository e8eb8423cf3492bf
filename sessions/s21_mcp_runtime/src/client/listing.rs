//! Which tools a server has: all pages of its list.

use std::collections::HashSet;

use rmcp::RoleClient;
use rmcp::model::{
    ClientRequest, ErrorCode, ListToolsRequest, PaginatedRequestParams, ServerResult, Tool,
};
use rmcp::service::{Peer, ServiceError};
use serde_json::Value;

use super::errors::root_cause;
use crate::servers::{Offer, ToolDefinition};

/// The most tools of one server.
const MAX_TOOLS: usize = 500;
/// The most pages of one list.
const MAX_PAGES: usize = 100;

/// One page of the list, and where the next one begins.
struct Page {
    offers: Vec<Offer>,
    next: Option<String>,
}

/// The tools on all pages. A page that points back to an earlier one is the last.
pub(super) async fn tools(peer: &Peer<RoleClient>) -> Result<Vec<Offer>, String> {
    let mut offers = Vec::new();
    let mut cursor = None;
    let mut seen = HashSet::new();
    for _ in 0..MAX_PAGES {
        let page = page(peer, cursor).await?;
        offers.extend(page.offers);
        let Some(next) = page.next else { break };
        let is_new = seen.insert(next.clone());
        if !is_new || offers.len() >= MAX_TOOLS {
            break;
        }
        cursor = Some(next);
    }
    offers.truncate(MAX_TOOLS);
    Ok(offers)
}

async fn page(peer: &Peer<RoleClient>, cursor: Option<String>) -> Result<Page, String> {
    let params = PaginatedRequestParams::default().with_cursor(cursor);
    let request = ClientRequest::ListToolsRequest(ListToolsRequest::with_param(params));
    match peer.send_request(request).await {
        Ok(ServerResult::ListToolsResult(page)) => {
            let offers = page.tools.into_iter().map(offer).collect();
            Ok(Page { offers, next: page.next_cursor })
        }
        // The SDK does not understand the page as a whole. One bad tool must not cost the others, so each is
        // read by itself.
        Ok(ServerResult::CustomResult(page)) => {
            let listed = page.0["tools"].as_array().ok_or("its answer contains no tools")?;
            let offers = listed.iter().map(read_offer).collect();
            let next = page.0["nextCursor"].as_str().map(str::to_owned);
            Ok(Page { offers, next })
        }
        Ok(_) => Err("its answer is not understood".to_owned()),
        // A server without tools need not know the method.
        Err(ServiceError::McpError(error)) if error.code == ErrorCode::METHOD_NOT_FOUND => {
            Ok(Page { offers: Vec::new(), next: None })
        }
        Err(error) => Err(root_cause(&error)),
    }
}

fn read_offer(listed: &Value) -> Offer {
    match serde_json::from_value(listed.clone()) {
        Ok(tool) => offer(tool),
        Err(error) => Offer {
            name: listed["name"].as_str().unwrap_or_default().to_owned(),
            definition: Err(error.to_string()),
        },
    }
}

fn offer(tool: Tool) -> Offer {
    let definition = ToolDefinition {
        description: tool.description.unwrap_or_default().into_owned(),
        schema: (*tool.input_schema).clone(),
    };
    Offer { name: tool.name.into_owned(), definition: Ok(definition) }
}
