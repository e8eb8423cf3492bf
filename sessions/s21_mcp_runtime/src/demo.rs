//! A small server of our own, for the play: `serve-demo`. It uses no library, so that the protocol itself can be
//! seen: JSON, a message a line, each request answered under its id. It speaks the older of the two ages. (A
//! server for others is better made with an SDK, which speaks all versions.)

use std::io::{BufRead, Write};

use anyhow::{Result, bail};
use serde_json::{Value, json};

/// JSON-RPC's code for a method that the server does not have.
const METHOD_NOT_FOUND: i32 = -32601;
/// The units it can convert, in metres.
const UNITS: [(&str, f64); 4] = [("km", 1000.0), ("m", 1.0), ("mi", 1609.344), ("ft", 0.3048)];

/// Serves until the other side closes its end.
///
/// # Errors
/// It was asked to fall over, or its streams are broken.
pub fn serve(input: impl BufRead, mut output: impl Write) -> Result<()> {
    for line in input.lines() {
        let message: Value = serde_json::from_str(&line?)?;
        let id = &message["id"];
        if id.is_null() {
            // A notification wants no answer.
            continue;
        }
        let method = message["method"].as_str().unwrap_or_default();
        let answer = match answer(method, &message["params"])? {
            Some(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            None => {
                let error = json!({"code": METHOD_NOT_FOUND, "message": "there is no such method"});
                json!({"jsonrpc": "2.0", "id": id, "error": error})
            }
        };
        writeln!(output, "{answer}")?;
    }
    Ok(())
}

/// The result of a request; `None` for a method that is unknown.
fn answer(method: &str, params: &Value) -> Result<Option<Value>> {
    let result = match method {
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
        "tools/call" => match convert(&params["arguments"]) {
            Ok(text) => json!({"content": [{"type": "text", "text": text}], "isError": false}),
            // A call that fails is a result too: the model reads why.
            Err(why) => json!({"content": [{"type": "text", "text": why}], "isError": true}),
        },
        _ => return Ok(None),
    };
    Ok(Some(result))
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
    let from = unit(&input["from"])?;
    let to = unit(&input["to"])?;
    let value = input["value"].as_f64().ok_or("`value` is not a number")?;
    let converted = value * from.metres / to.metres;
    Ok(format!("{value} {} = {converted:.2} {}", from.name, to.name))
}

struct Unit {
    name: &'static str,
    metres: f64,
}

fn unit(name: &Value) -> Result<Unit, String> {
    let wanted = name.as_str().unwrap_or_default();
    for (name, metres) in UNITS {
        if name == wanted {
            return Ok(Unit { name, metres });
        }
    }
    let known = UNITS.map(|(name, _)| name).join(", ");
    Err(format!("`{wanted}` is not a unit; use {known}"))
}
