//! A small server of our own, for the play: `serve-demo`. It uses no library, and so this is the protocol:
//! JSON, a message a line, each request answered under its id. (One that others shall use is better made
//! with an SDK, which speaks all its versions.)

use std::io::{BufRead, Write};

use anyhow::{Result, bail};
use serde_json::{Value, json};

/// What it can convert, in metres.
const UNITS: [(&str, f64); 4] = [("km", 1000.0), ("m", 1.0), ("mi", 1609.344), ("ft", 0.3048)];

/// Serves until the other side has gone.
///
/// # Errors
/// It fell over.
pub fn serve(input: impl BufRead, mut output: impl Write) -> Result<()> {
    for line in input.lines() {
        let message: Value = serde_json::from_str(&line?)?;
        let (id, params) = (&message["id"], &message["params"]);
        let result = match message["method"].as_str().unwrap_or_default() {
            _ if id.is_null() => continue, // a notification wants no answer
            "initialize" => json!({
                "protocolVersion": params["protocolVersion"],
                "serverInfo": {"name": "demo", "version": env!("CARGO_PKG_VERSION")},
                "capabilities": {"tools": {}},
            }),
            "ping" => json!({}),
            "tools/list" => json!({"tools": tools()}),
            "tools/call" if params["name"] == "fall_over" => {
                bail!("the demo server fell over, as it was asked to")
            }
            "tools/call" => {
                // A call that fails is answered as well: the model reads why.
                let (text, failed) = match convert(&params["arguments"]) {
                    Ok(text) => (text, false),
                    Err(why) => (why, true),
                };
                json!({"content": [{"type": "text", "text": text}], "isError": failed})
            }
            _ => {
                let error = json!({"code": -32601, "message": "there is no such method"});
                writeln!(output, "{}", json!({"jsonrpc": "2.0", "id": id, "error": error}))?;
                continue;
            }
        };
        writeln!(output, "{}", json!({"jsonrpc": "2.0", "id": id, "result": result}))?;
    }
    Ok(())
}

fn tools() -> Value {
    let number = json!({"type": "number"});
    let unit = json!({"type": "string", "description": "A unit of length."});
    json!([
        {"name": "convert", "description": "Converts a length from one unit to another.",
         "inputSchema": {"type": "object", "required": ["value", "from", "to"],
            "properties": {"value": number, "from": unit, "to": unit}}},
        {"name": "fall_over", "description": "Ends the server in the middle of the call.",
         "inputSchema": {"type": "object", "properties": {}}},
    ])
}

fn convert(input: &Value) -> Result<String, String> {
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
