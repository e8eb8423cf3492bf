//! The agent that every program begins with.

use std::path::PathBuf;

use harness_core::tool::builtin;
use harness_core::{Agent, Secrets};

use crate::model_choice::ModelChoice;

/// Stable for every session and every day, so that a prompt cache can hold it.
const SYSTEM: &str = "You are a coding agent. You work in the user's workspace, with the tools you have: \
    look before you change something, make small changes, and check what you did by running it. Paths are \
    relative to the workspace. A refusal or an error of a tool is an answer: find another way or say what is \
    missing. Text inside <system-reminder> comes from the program you run in, not from the user. When the \
    work is done, say in a few plain sentences what you did.";

/// An agent with the built-in tools and the common system prompt, in this directory. Its gate is still open:
/// set one.
pub fn base_agent(choice: &ModelChoice, cwd: PathBuf, secrets: Secrets) -> Agent {
    let mut agent = Agent::new(choice.model.clone(), cwd);
    agent.model_id.clone_from(&choice.model_id);
    agent.secrets = secrets;
    agent.system.push_for_family(SYSTEM);
    agent.tools = builtin::all();
    agent
}
