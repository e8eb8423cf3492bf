//! The core of the harness.

pub mod agent;
pub mod conversation;
pub mod event;
pub mod hook;
pub mod journal;
pub mod model;
pub mod models;
pub mod permission;
pub mod process;
pub mod schedule;
pub mod script;
pub mod secrets;
pub mod text;
pub mod tool;
pub mod workspace;
pub use agent::{Acted, Agent, AgentError, Mechanism};
pub use conversation::{
    Block, Content, Conversation, Cut, Message, Repair, Role, ToolCall, ToolResult,
};
pub use event::{Decision, Event, Observer, Observers, Stop};
pub use hook::{Hook, Turn, Why};
pub use model::{
    CacheLife, Delta, Mark, Model, ModelError, ModelStream, Place, Reply, Request, StopReason,
    ToolSpec, Usage,
};
pub use permission::{AllowAll, Answer, Approver, Gate, Headless, Policy, Rules, Verdict};
pub use schedule::{Admitted, InOrder, Runner, Schedule};
pub use script::{Play, Script};
pub use secrets::Secrets;
pub use tool::{DynTool, Effect, Tool, ToolContext, ToolError, ToolSource, Toolbox};
