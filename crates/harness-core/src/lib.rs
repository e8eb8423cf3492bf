//! The core of the harness.

pub mod agent;
pub mod anthropic;
pub mod conversation;
pub mod event;
pub mod hook;
pub mod http;
pub mod journal;
pub mod message;
pub mod model;
pub mod models;
pub mod permission;
pub mod process;
pub mod schedule;
pub mod script;
pub mod secrets;
pub mod text;
mod think;
pub mod tool;
pub mod tools;
pub mod transcript;
pub mod workspace;
pub use agent::{Acted, Agent, AgentError, Mechanism};
pub use conversation::{Conversation, Cut, INTERRUPTED, Repair};
pub use event::{Decision, Event, Observer, Observers, Stop};
pub use hook::{Hook, Turn, Why};
pub use message::{Block, Content, Message, Role, Text, ToolCall, ToolResult};
pub use model::{
    CacheLife, Delta, Mark, Model, ModelError, ModelStream, Place, Reply, Request, StopReason,
    ToolSpec, Usage,
};
pub use permission::{AllowAll, Answer, Approver, Gate, Headless, Policy, Verdict};
pub use schedule::{Admitted, InOrder, Runner, Schedule};
pub use script::{Play, Script};
pub use secrets::Secrets;
pub use tool::{DynTool, Effect, Tool, ToolContext, ToolError, ToolSource, Toolbox};
pub use transcript::transcript;
