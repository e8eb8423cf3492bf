//! The second seam: tools, the model's only interface to the world.
//!
//! A tool is typed for its author ([`Tool`]) and erased for the loop ([`DynTool`]); one blanket
//! implementation joins the two. The schema the model sees is derived from the very type that the
//! input is read into, so they cannot disagree.

pub mod builtin;
mod child;
mod context;
mod effect;
mod schema;
mod toolbox;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

pub use child::{ChildKind, ChildSpec, Parent};
pub use context::{Deliveries, ToolContext};
pub use effect::{Change, Effect, MAX_PREVIEW};
pub use toolbox::{Audience, ToolSource, Toolbox};

use schema::{read_input, schema_of};

use crate::conversation::message::Content;
use crate::host::state::StateError;
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
    type Input: DeserializeOwned + JsonSchema + Send + Sync;

    /// What a call with this input does to the world. What is not said is unknown, and unknown asks.
    fn effect(&self, _input: &Self::Input) -> Effect {
        Effect::Unknown
    }

    /// What a call with this input would make of a file, for the person who is asked whether it may run; and
    /// what is compared once more before it runs. `None` where there is nothing to show, or it is larger than
    /// [`MAX_PREVIEW`]. An implementation writes `async fn preview`.
    fn preview(
        &self,
        _input: &Self::Input,
        _cx: &ToolContext,
    ) -> impl Future<Output = Option<Change>> + Send {
        std::future::ready(None)
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

/// A tool as the loop sees it. Tools whose names are known only at run time implement this directly.
pub trait DynTool: Send + Sync {
    /// What the model sees.
    fn spec(&self) -> ToolSpec;

    /// Reads the input of one call.
    ///
    /// # Errors
    /// The input does not fit; the text names the field.
    fn prepare(
        self: Arc<Self>,
        input: &Map<String, Value>,
    ) -> Result<Box<dyn PreparedCall>, ToolError>;
}

/// A call whose input was read: once, however many hooks look at it.
#[async_trait]
pub trait PreparedCall: Send + Sync {
    /// What the call would do.
    fn effect(&self) -> Effect;

    /// See [`Tool::preview`].
    async fn preview(&self, cx: &ToolContext) -> Option<Change>;

    /// Runs it.
    ///
    /// # Errors
    /// See [`ToolError`].
    async fn run(self: Box<Self>, cx: &ToolContext) -> Result<Content, ToolError>;
}

impl<T: Tool> DynTool for T {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: T::NAME.to_owned(),
            description: T::ABOUT.to_owned(),
            input_schema: schema_of::<T::Input>(),
        }
    }

    fn prepare(
        self: Arc<Self>,
        input: &Map<String, Value>,
    ) -> Result<Box<dyn PreparedCall>, ToolError> {
        let input = read_input::<T>(input)?;
        Ok(Box::new(TypedCall { tool: self, input }))
    }
}

struct TypedCall<T: Tool> {
    tool: Arc<T>,
    input: T::Input,
}

#[async_trait]
impl<T: Tool> PreparedCall for TypedCall<T> {
    fn effect(&self) -> Effect {
        Tool::effect(&*self.tool, &self.input)
    }

    async fn preview(&self, cx: &ToolContext) -> Option<Change> {
        Tool::preview(&*self.tool, &self.input, cx).await
    }

    async fn run(self: Box<Self>, cx: &ToolContext) -> Result<Content, ToolError> {
        let Self { tool, input } = *self;
        tool.call(input, cx).await
    }
}
