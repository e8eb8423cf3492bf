//! The core of the harness: one loop, seven seams.
//!
//! The lessons that stand on it begin at [s01](../s01_perception_action_loop/index.html). To read the core
//! itself, take this order; each room stands only on those before it.
//!
//! 1. [`host`]: the ground: files, children, text, secrets.
//! 2. [`conversation`]: the history as data, always valid.
//! 3. [`model`]: what a model is, and the two that live here, [`model::script`] and [`model::anthropic`].
//! 4. [`event`]: what happens, and the observers that are told.
//! 5. [`tool`]: what can be done, and the built-in tools.
//! 6. [`permission`]: whether it may be done.
//! 7. [`agent`]: the loop, and the seams around it: hooks, schedule, turn layers, children.
//!
//! ```
//! use std::sync::Arc;
//! use harness_core::{Agent, Conversation, Play, Script, TurnOutcome};
//! use harness_core::tool::builtin;
//! use tokio_util::sync::CancellationToken;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let play = Play::from_yaml("prompt: hello\nscenes: [{lines: [{text: Good day.}]}]")?;
//! let mut agent = Agent::new(Arc::new(Script::new(play)), std::env::temp_dir());
//! agent.tools = builtin::all();
//!
//! let mut conversation = Conversation::new();
//! conversation.say("hello");
//! let stop = agent.run(&mut conversation, &CancellationToken::new()).await?;
//! assert_eq!(stop, TurnOutcome::Answered("Good day.".to_owned()));
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod conversation;
pub use conversation::log::ConversationLog;
pub use conversation::message::{Block, Content, Message, Role, Text, ToolCall, ToolResult};
pub use conversation::transcript::transcript;
pub use conversation::{Conversation, Cut, Extent, INTERRUPTED, Identity, Repair};

pub mod model;
pub use model::script::{Play, Script};
pub use model::{
    CacheLife, CachePosition, Delta, Mark, Model, ModelError, ModelStream, Reply, Request,
    StopReason, ToolSpec, Usage,
};

pub mod event;
pub use event::{AgentError, Decision, Event, Observer, Observers, TurnOutcome};

pub mod tool;
pub use tool::{
    Audience, Change, ChildKind, ChildSpec, DynTool, Effect, NoInput, PreparedCall, Tool,
    ToolContext, ToolError, ToolSource, Toolbox,
};

pub mod permission;
pub use permission::{
    AllowAll, Approval, Approver, Gate, Headless, Permit, Policy, Question, Rules, Verdict,
};

pub mod agent;
pub use agent::act::{Admitted, InOrder, Runner, Schedule};
pub use agent::hook::{Hook, HookContext, HookReason, Inherit};
pub use agent::layer::{Chat, Next, Prompt, TurnLayer};
pub use agent::{Acted, Agent, Mechanism, SystemPrompt};

pub mod host;
pub use host::front_matter::{Fault, FrontMatter};
pub use host::mutex::Mutex;
pub use host::secrets::Secrets;
pub use host::state::{StateError, StateFile};
pub use host::trust::Trust;
