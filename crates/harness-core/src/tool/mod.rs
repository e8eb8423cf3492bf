//! The second seam: tools, the model's only interface to the world.
//!
//! A tool is typed for its author ([`Tool`]) and erased for the loop ([`DynTool`]); one blanket
//! implementation joins the two. The schema the model sees is derived from the very type that the
//! input is read into, so they cannot disagree.

pub mod builtin;

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::conversation::message::Content;
use crate::event::{Event, Observers};
use crate::host::secrets::Secrets;
use crate::host::state::StateError;
use crate::host::text;
use crate::model::ToolSpec;

/// A tool as its author writes it.
///
/// ```
/// use harness_core::{Content, Effect, Tool, ToolContext, ToolError};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Greeting {
///     /// Whom to greet.
///     name: String,
/// }
///
/// struct Greet;
///
/// impl Tool for Greet {
///     const NAME: &'static str = "greet";
///     const ABOUT: &'static str = "Greets someone by name.";
///     type Input = Greeting;
///
///     fn effect(&self, _: &Greeting) -> Effect {
///         Effect::Internal
///     }
///
///     async fn call(&self, input: Greeting, _: &ToolContext) -> Result<Content, ToolError> {
///         Ok(format!("Hello, {}!", input.name).into())
///     }
/// }
/// ```
pub trait Tool: Send + Sync + 'static {
    /// Letters, digits, `_` and `-`, at most 64 characters.
    const NAME: &'static str;
    /// What the model is told of it.
    const ABOUT: &'static str;
    /// Its input. Put `#[serde(deny_unknown_fields)]` on it, so that a misspelt field is an error.
    type Input: DeserializeOwned + JsonSchema + Send;

    /// What a call with this input does to the world. What is not said is unknown, and unknown asks.
    fn effect(&self, _input: &Self::Input) -> Effect {
        Effect::Unknown
    }

    /// Runs it. An implementation writes `async fn call`.
    fn call(
        &self,
        input: Self::Input,
        cx: &ToolContext,
    ) -> impl Future<Output = Result<Content, ToolError>> + Send;
}

/// The input of a tool that takes none.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoInput {}

/// What a call does. Gate, schedule and checkpoints judge by this, never by a tool's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It touches nothing but the harness's own state: a plan, a mailbox, the answer of a subagent whose own
    /// calls are judged one by one.
    Internal,
    /// It only reads these paths.
    Reads(Vec<PathBuf>),
    /// It changes these paths.
    Writes(Vec<PathBuf>),
    /// It runs this shell line.
    Runs(String),
    /// What it does is not known before it runs.
    Unknown,
}

/// The two ways a tool can fail. Almost everything is [`ToolError::Failed`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// A sentence for the model, which will find another way.
    #[error("{0}")]
    Failed(String),
    /// The harness itself is broken; the turn ends.
    #[error("{0}")]
    Fatal(String),
}

impl ToolError {
    /// From anything that can be told.
    pub fn failed(why: impl fmt::Display) -> Self {
        ToolError::Failed(why.to_string())
    }
}

impl From<StateError> for ToolError {
    /// The model is told; what it does about a damaged file is its decision.
    fn from(error: StateError) -> Self {
        Self::failed(error)
    }
}

/// What a call may know of its surroundings. The directory is a value: nothing is global.
#[derive(Clone, Debug)]
pub struct ToolContext {
    /// Whose call it is.
    pub agent: String,
    /// The call's id.
    pub call_id: String,
    /// Where relative paths start, and what file tools stay inside.
    pub cwd: PathBuf,
    /// Cancelled when the user interrupts. A tool then has half a second to return what it has.
    pub cancel: CancellationToken,
    /// Who watches.
    pub observers: Observers,
    /// What children must not get and results must not show.
    pub secrets: Secrets,
}

impl ToolContext {
    /// Shows a piece of output while the call still runs. Known secrets in it are masked, so give it
    /// whole lines: a secret that is cut in two is not seen.
    pub fn progress(&self, text: &str) {
        let text = self.secrets.mask(text).into_owned();
        let event = Event::ToolProgress { call_id: self.call_id.clone(), text };
        self.observers.emit(&self.agent, &event);
    }
}

/// A tool as the loop sees it. Tools whose names are known only at run time implement this directly.
#[async_trait]
pub trait DynTool: Send + Sync {
    /// What the model sees.
    fn spec(&self) -> ToolSpec;

    /// Checks the input and says what the call would do.
    ///
    /// # Errors
    /// The input does not fit; the text names the field.
    fn effect(&self, input: &Map<String, Value>) -> Result<Effect, ToolError>;

    /// Runs it on an input that [`DynTool::effect`] accepted.
    ///
    /// # Errors
    /// See [`ToolError`].
    async fn call(&self, input: Map<String, Value>, cx: &ToolContext)
    -> Result<Content, ToolError>;
}

#[async_trait]
impl<T: Tool> DynTool for T {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: T::NAME.to_owned(),
            description: T::ABOUT.to_owned(),
            input_schema: schema_of::<T::Input>(),
        }
    }

    fn effect(&self, input: &Map<String, Value>) -> Result<Effect, ToolError> {
        read_input::<T>(input).map(|input| Tool::effect(self, &input))
    }

    async fn call(
        &self,
        input: Map<String, Value>,
        cx: &ToolContext,
    ) -> Result<Content, ToolError> {
        Tool::call(self, read_input::<T>(&input)?, cx).await
    }
}

/// The most bytes that are shown of each end of a fault in an input.
const LONGEST_FAULT: usize = 300;

fn read_input<T: Tool>(input: &Map<String, Value>) -> Result<T::Input, ToolError> {
    serde_path_to_error::deserialize(input).map_err(|e| {
        let place = e.path().to_string();
        let place = if place == "." { String::new() } else { format!(" at `{place}`") };
        // The fault may quote the value, and that may be a whole file in the wrong field.
        let fault = e.inner().to_string();
        let fault = text::clip(&fault, LONGEST_FAULT, LONGEST_FAULT);
        ToolError::Failed(format!("the input of `{}` does not fit{place}: {fault}", T::NAME))
    })
}

/// The JSON Schema of a type, as plain as it gets: no `$ref`, which small models stumble over, and
/// neither title nor number formats, which only cost tokens.
fn schema_of<T: JsonSchema>() -> Value {
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

/// Tools that come and go, such as an MCP server's. Asked once a step.
pub trait ToolSource: Send + Sync {
    /// The tools there are now, in a stable order.
    fn tools(&self) -> Vec<Arc<dyn DynTool>>;
}

/// The tools an agent has, in a stable order: a changed order would empty the prompt cache.
#[derive(Clone, Default)]
pub struct Toolbox {
    tools: Vec<Arc<dyn DynTool>>,
    specs: Vec<ToolSpec>,
    sources: Vec<Arc<dyn ToolSource>>,
    clashes: Vec<String>,
}

impl Toolbox {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more tool. The first of a name stays; a second is not taken and recorded as a clash.
    pub fn add(&mut self, tool: impl DynTool + 'static) {
        self.add_shared(Arc::new(tool));
    }

    /// The same, in a chain: `Toolbox::new().with(Bash).with(Read)`.
    pub fn with(mut self, tool: impl DynTool + 'static) -> Self {
        self.add(tool);
        self
    }

    fn add_shared(&mut self, tool: Arc<dyn DynTool>) {
        let spec = tool.spec();
        if self.specs.iter().any(|known| known.name == spec.name) {
            self.clashes.push(spec.name);
        } else {
            self.specs.push(spec);
            self.tools.push(tool);
        }
    }

    /// Tools that come and go. Built-in names win over theirs.
    pub fn add_source(&mut self, source: Arc<dyn ToolSource>) {
        self.sources.push(source);
    }

    /// Keeps only the tools whose names pass, those that are yet to come from a source among them.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool + Send + Sync + 'static) {
        self.tools.retain(|tool| keep(&tool.spec().name));
        self.specs.retain(|spec| keep(&spec.name));
        let keep: Arc<dyn Fn(&str) -> bool + Send + Sync> = Arc::new(keep);
        for source in &mut self.sources {
            *source = Arc::new(Narrowed { source: source.clone(), keep: keep.clone() });
        }
    }

    /// Names that were given twice. harness-cli refuses to start with any.
    pub fn clashes(&self) -> &[String] {
        &self.clashes
    }

    /// What the model sees now.
    pub fn specs(&self) -> Cow<'_, [ToolSpec]> {
        if self.sources.is_empty() {
            return Cow::Borrowed(&self.specs);
        }
        let mut specs = self.specs.clone();
        for tool in self.sources.iter().flat_map(|source| source.tools()) {
            let spec = tool.spec();
            if !specs.iter().any(|known| known.name == spec.name) {
                specs.push(spec);
            }
        }
        Cow::Owned(specs)
    }

    /// The tool of that name.
    ///
    /// # Errors
    /// There is none; the text names those that come nearest.
    pub fn get(&self, name: &str) -> Result<Arc<dyn DynTool>, ToolError> {
        if let Some(at) = self.specs.iter().position(|spec| spec.name == name) {
            return Ok(self.tools[at].clone());
        }
        let mut late = self.sources.iter().flat_map(|source| source.tools());
        late.find(|tool| tool.spec().name == name).ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> ToolError {
        let specs = self.specs();
        let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        let near = text::nearest(name, names.iter().copied());
        let shown = if near.is_empty() { names } else { near };
        ToolError::Failed(format!("there is no tool `{name}`; there is {}", shown.join(", ")))
    }
}

/// A source of which only some tools are taken.
struct Narrowed {
    source: Arc<dyn ToolSource>,
    keep: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl ToolSource for Narrowed {
    fn tools(&self) -> Vec<Arc<dyn DynTool>> {
        let mut tools = self.source.tools();
        tools.retain(|tool| (self.keep)(&tool.spec().name));
        tools
    }
}

impl fmt::Debug for Toolbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.specs.iter().map(|spec| &spec.name)).finish()
    }
}
