//! The core of the harness: one loop, six seams.
//!
//! The lessons that stand on it begin at [s01](../s01_perception_action_loop/index.html). To read the core
//! itself, take this order; each module stands only on those before it.
//!
//! 1. [`message`] and [`conversation`]: the history as data, always valid.
//! 2. [`model`]: what a model is; then the two that live here, [`script`] and [`anthropic`].
//! 3. [`tool`]: what can be done; then [`tools`], the built-in ones, and [`servers`], which bring more.
//! 4. [`event`] tells, [`hook`] decides, [`permission`] allows.
//! 5. [`schedule`]: what a call goes through, and in which order calls run.
//! 6. [`agent`]: the loop. It is shorter than this page. [`errand`] is a task that an agent does alone;
//!    [`gauge`] measures how full its window is.
//!
//! At the ground, of use to all: [`process`] (children), [`jobs`] (children that run on), [`workspace`]
//! (paths and files), [`state`] (a value in a file), [`journal`] (append-only logs), [`record`] (what an agent
//! says that nobody talks to), [`undo`] (what was changed, and the way back), [`mail`] (what agents write to
//! each other), [`relay`] (who watches those in other tasks), [`live`] (what they do, for other processes),
//! [`front_matter`] (files that people write), [`order`] (what depends on what), [`ids`], [`text`],
//! [`mod@transcript`] (a conversation for people to read), [`secrets`], [`trust`], [`http`], [`models`] (what
//! is known of each model), [`cache`] (a prompt cache, simulated), and [`Mutex`], which knows no poison.
//!
//! Three say what is whose when programs come and go. A [`lease`] is a claim on somebody else's thing, and
//! over as soon as its owner is silent. A [`register`] lists what runs have begun under names of their own, so
//! that a later run takes up what a killed one left. The `shelf` under [`jobs`] does that for what has no name
//! yet: it gives each a number and a place for files.
//!
//! ```
//! use std::sync::Arc;
//! use harness_core::{Agent, Conversation, Play, Script, Stop};
//! use harness_core::tool::builtin;
//! use tokio_util::sync::CancellationToken;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let play = Play::from_yaml("prompt: hello\nscenes: [{lines: [{text: Good day.}]}]")?;
//! let mut agent = Agent::new(Arc::new(Script::new(play)), std::env::temp_dir());
//! agent.tools = tools::all();
//!
//! let mut conversation = Conversation::new();
//! conversation.say("hello");
//! let stop = agent.run(&mut conversation, &CancellationToken::new()).await?;
//! assert_eq!(stop, Stop::Answered("Good day.".to_owned()));
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod conversation;
pub use conversation::message::{Block, Content, Message, Role, Text, ToolCall, ToolResult};
pub use conversation::transcript::transcript;
pub use conversation::{Conversation, Cut, Extent, INTERRUPTED, Identity, Repair};

pub mod model;
pub use model::script::{Play, Script};
pub use model::{
    CacheLife, Delta, Mark, Model, ModelError, ModelStream, Place, Reply, Request, StopReason,
    ToolSpec, Usage,
};

pub mod event;
pub use event::{Decision, Event, Observer, Observers, Stop};

pub mod tool;
pub use tool::{DynTool, Effect, NoInput, Tool, ToolContext, ToolError, ToolSource, Toolbox};

pub mod permission;
pub use permission::{AllowAll, Answer, Approver, Gate, Headless, Policy, Rules, Verdict};

pub mod agent;
pub use agent::act::{Admitted, InOrder, Runner, Schedule};
pub use agent::gauge::Gauge;
pub use agent::hook::{Hook, Turn, Why};
pub use agent::record::Record;
pub use agent::relay::Relay;
pub use agent::{Acted, Agent, AgentError, Mechanism};

pub mod host;
pub use host::front_matter::{Fault, FrontMatter};
pub use host::mutex::Mutex;
pub use host::secrets::Secrets;
pub use host::state::{StateError, StateFile};
pub use host::trust::Trust;

pub mod jobs;
pub use jobs::Jobs;
pub mod live;
pub mod mail;
pub mod servers;
pub mod undo;
