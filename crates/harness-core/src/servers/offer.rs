//! What a server offers, as a model's API takes it: a name, a description, a schema. All of it was written
//! by a stranger.

use serde_json::{Map, Value, json};

use crate::host::{text, trust};
use crate::model::ToolSpec;

/// The most bytes of a tool's schema, and of its description.
const SCHEMA: usize = 64 * 1024;
const DESCRIPTION: usize = 2048;
/// The most characters of a tool's name.
const LONGEST: usize = 64;
/// The most of them that are the server's.
const SERVER: usize = 24;

/// A tool, as a server describes it.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What the server calls it.
    pub name: String,
    /// Its description and the schema of its input, or why it cannot be had.
    pub tool: Result<(String, Map<String, Value>), String>,
}

impl Offer {
    /// What the model is told of it. Nothing invisible is let through, and nothing that would make the API
    /// refuse the whole request, and with it every other tool.
    ///
    /// # Errors
    /// The tool cannot be offered, and why.
    pub fn spec(&self, server: &str) -> Result<ToolSpec, String> {
        let (description, schema) = self.tool.clone()?;
        let mut schema = Value::Object(schema);
        clean(&mut schema);
        let Value::Object(fields) = &mut schema else { return Err("it has no schema".to_owned()) };
        for word in ["$schema", "title", "oneOf", "anyOf", "allOf"] {
            fields.shift_remove(word); // not taken at the top; the server checks its input itself
        }
        if fields.entry("type").or_insert_with(|| "object".into()) != "object" {
            return Err("its schema is not that of an object".to_owned());
        }
        let properties = fields.entry("properties").or_insert_with(|| json!({}));
        let Some(properties) = properties.as_object() else {
            return Err("its schema's properties are no object".to_owned());
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let good = |name: &str| (1..=64).contains(&name.len()) && name.chars().all(plain);
        if let Some(name) = properties.keys().find(|name| !good(name)) {
            return Err(format!("its schema has a field {name:?}"));
        }
        if schema.to_string().len() > SCHEMA {
            return Err(format!("its schema is larger than {SCHEMA} bytes"));
        }
        let description = text::clip(&seen(&description), DESCRIPTION, 0).into_owned();
        Ok(ToolSpec { name: tool_name(server, &self.name), description, input_schema: schema })
    }
}

/// The name that the model sees. It says whose the tool is (what stands between the first two `__`), it
/// is valid, and no two tools have the same: wherever a character had to go, a hash of the whole name
/// stands at the end. It depends on nothing else, so it is the same whichever other servers there are.
pub fn tool_name(server: &str, tool: &str) -> String {
    let start = format!("mcp__{}__", server_name(server));
    let room = LONGEST - start.len();
    start + &fitted(tool, room, tool.chars().all(is_plain))
}

/// The server's part of it. It neither holds `__` nor touches it, so that a rule for `mcp__a__*` means the
/// server `a` and not one that calls itself `a__b` or `a_`.
pub fn server_name(server: &str) -> String {
    let one = !server.contains("__") && !server.starts_with('_') && !server.ends_with('_');
    fitted(server, SERVER, one && server.chars().all(is_plain))
}

fn fitted(name: &str, longest: usize, good: bool) -> String {
    if good && (1..=longest).contains(&name.len()) {
        return name.to_owned();
    }
    let clean: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let words: Vec<&str> = clean.split('_').filter(|word| !word.is_empty()).collect();
    let mut short = words.join("_");
    short.truncate(longest - 9);
    let hash = &trust::hash(name.as_bytes())[..8];
    format!("{}_{hash}", short.trim_end_matches('_')).trim_start_matches('_').to_owned()
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// Without what a reader would not see.
fn seen(text: &str) -> String {
    text::strip(text).chars().filter(|c| *c == '\u{a0}' || !text::is_hidden(*c)).collect()
}

fn clean(value: &mut Value) {
    match value {
        Value::String(text) => *text = seen(text),
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(fields) => fields.values_mut().for_each(clean),
        _ => {}
    }
}
