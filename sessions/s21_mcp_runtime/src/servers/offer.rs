//! What a server offers, made fit for a model's API: a name, a description, a schema. All of it was written by
//! a stranger.

use harness_core::ToolSpec;
use harness_core::host::{text, trust};
use serde_json::{Map, Value, json};

/// The most bytes of a tool's schema.
const MAX_SCHEMA_BYTES: usize = 64 * 1024;
/// The most bytes of a tool's description.
const MAX_DESCRIPTION_BYTES: usize = 2048;
/// The most characters of a tool's name, and of a field in its schema.
const MAX_NAME: usize = 64;
/// The most characters of a tool's name that are the server's.
const MAX_SERVER_NAME: usize = 24;
/// How many digits of a hash make a name unique.
const HASH_DIGITS: usize = 8;
/// Keywords that the API refuses at the top of a schema. The server checks its input itself.
const NOT_AT_THE_TOP: [&str; 5] = ["$schema", "title", "oneOf", "anyOf", "allOf"];

/// A tool, as a server offers it.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What the server calls it.
    pub name: String,
    /// What the server says of it, or why that is not understood.
    pub definition: Result<ToolDefinition, String>,
}

/// What a server says of a tool.
#[derive(Clone, Debug)]
pub struct ToolDefinition {
    /// What it is for.
    pub description: String,
    /// The JSON schema of its input.
    pub schema: Map<String, Value>,
}

impl Offer {
    /// What the model is told of the tool. Invisible characters are removed, and so is what would make the API
    /// refuse the whole request, and with it every other tool.
    ///
    /// # Errors
    /// Why the tool cannot be offered.
    pub fn spec(&self, server: &str) -> Result<ToolSpec, String> {
        let definition = self.definition.clone()?;
        let description = visible(&definition.description);
        Ok(ToolSpec {
            name: tool_name(server, &self.name),
            description: text::clip(&description, MAX_DESCRIPTION_BYTES, 0).into_owned(),
            input_schema: accepted_schema(definition.schema)?,
        })
    }
}

/// The schema in the form that the API accepts.
fn accepted_schema(mut fields: Map<String, Value>) -> Result<Value, String> {
    fields.values_mut().for_each(remove_invisible);
    for keyword in NOT_AT_THE_TOP {
        fields.shift_remove(keyword);
    }
    let kind = fields.entry("type").or_insert_with(|| "object".into());
    if kind != "object" {
        return Err("its schema is not that of an object".to_owned());
    }
    let properties = fields.entry("properties").or_insert_with(|| json!({}));
    let Some(properties) = properties.as_object() else {
        return Err("the properties in its schema are not an object".to_owned());
    };
    if let Some(name) = properties.keys().find(|name| !is_field_name(name)) {
        return Err(format!("its schema has a field {name:?}, which is not a valid name"));
    }
    let schema = Value::Object(fields);
    if schema.to_string().len() > MAX_SCHEMA_BYTES {
        return Err(format!("its schema is larger than {MAX_SCHEMA_BYTES} bytes"));
    }
    Ok(schema)
}

fn is_field_name(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(is_allowed)
}

/// The name of a tool that the model sees. It says whose the tool is (the part between the first two `__`), it
/// is valid, and no two tools have the same: wherever a character had to go, the name ends with a hash of the
/// original. It depends on nothing else, so it is the same whichever other servers there are.
pub fn tool_name(server: &str, tool: &str) -> String {
    let prefix = format!("mcp__{}__", server_name(server));
    let room = MAX_NAME - prefix.len();
    let is_valid = tool.chars().all(is_name_char);
    prefix + &fitted(tool, room, is_valid)
}

/// The server's part of a tool's name. It neither contains `__` nor begins or ends with `_`, so that a rule
/// for `mcp__a__*` means the server `a` and not one that calls itself `a__b` or `a_`.
pub fn server_name(server: &str) -> String {
    let is_one_part = !server.contains("__") && !server.starts_with('_') && !server.ends_with('_');
    let is_valid = is_one_part && server.chars().all(is_name_char);
    fitted(server, MAX_SERVER_NAME, is_valid)
}

/// The name itself if it is valid and fits into `room` characters, else its words and a hash.
fn fitted(name: &str, room: usize, is_valid: bool) -> String {
    if is_valid && !name.is_empty() && name.len() <= room {
        return name.to_owned();
    }
    let replaced: String = name.chars().map(|c| if is_name_char(c) { c } else { '_' }).collect();
    let words: Vec<&str> = replaced.split('_').filter(|word| !word.is_empty()).collect();
    let mut readable = words.join("_");
    readable.truncate(room - HASH_DIGITS - 1);
    let readable = readable.trim_end_matches('_');
    let whole_hash = trust::hash(name.as_bytes());
    let hash = &whole_hash[..HASH_DIGITS];
    if readable.is_empty() {
        return hash.to_owned();
    }
    format!("{readable}_{hash}")
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// The text without what a reader would not see.
fn visible(text: &str) -> String {
    let is_visible = |c: &char| *c == '\u{a0}' || !text::is_hidden(*c);
    text::strip(text).chars().filter(is_visible).collect()
}

fn remove_invisible(value: &mut Value) {
    match value {
        Value::String(text) => *text = visible(text),
        Value::Array(items) => items.iter_mut().for_each(remove_invisible),
        Value::Object(fields) => fields.values_mut().for_each(remove_invisible),
        _ => {}
    }
}
