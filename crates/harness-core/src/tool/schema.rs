//! A tool's input: its schema, and how it is read.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};

use super::{Tool, ToolError};
use crate::host::text;

/// The most bytes that are shown of each end of a fault in an input.
const MAX_FAULT: usize = 300;

/// Reads an input.
///
/// # Errors
/// It does not fit; the text names the field.
pub(super) fn read_input<T: Tool>(input: &Map<String, Value>) -> Result<T::Input, ToolError> {
    serde_path_to_error::deserialize(input).map_err(|error| {
        let place = match error.path().to_string().as_str() {
            "." => String::new(),
            field => format!(" at `{field}`"),
        };
        // The fault may quote the value, and that may be a whole file in the wrong field.
        let fault = error.inner().to_string();
        let fault = text::clip(&fault, MAX_FAULT, MAX_FAULT);
        ToolError::Failed(format!("the input of `{}` does not fit{place}: {fault}", T::NAME))
    })
}

/// The JSON Schema of a type, as plain as it gets: no `$ref`, which small models stumble over, and
/// neither title nor number formats, which only cost tokens.
pub(super) fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    plain(&mut schema);
    if let Value::Object(fields) = &mut schema {
        fields.shift_remove("description"); // the type's own comment is for who reads the code
        // A tool without fields still has an object for its input.
        fields.entry("type").or_insert_with(|| "object".into());
        fields.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    }
    schema
}

fn plain(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("title").is_some_and(Value::is_string) {
                fields.shift_remove("title");
            }
            if fields.get("format").is_some_and(Value::is_string) {
                fields.shift_remove("format");
            }
            fields.values_mut().for_each(plain);
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        _ => {}
    }
}
