//! Hooks that are programs, and the contract with them, which is Claude Code's.
//!
//! A program gets the event as JSON on its standard input. Exit code 0 means yes, and its standard output is
//! its answer (see `reply.rs`). Exit code 2 means no, and its standard error says why. Everything else is a failure
//! of the program: another exit code, a signal, a timeout, an answer that cannot be read. Before a call a
//! failure counts as a no unless the configuration says otherwise: a guard that broke guards nothing.

mod config;
mod context;
mod reply;

use std::num::NonZeroU64;
use std::time::Duration;

use harness_core::host::process::{ChildCommand, End, Finished, Limits, ProcessError};
use serde_json::{Value, json};

use crate::{HookDecision, HookEvent, HookEventKind};
use config::HookConfig;

pub use config::HooksError;
pub use context::ProgramContext;

/// Set in the environment of every hook. A program that finds it there was started by a hook, and must not
/// run its own hooks: they would start it again.
pub const INSIDE_HOOK: &str = "HARNESS_HOOK";
/// How long a program may take, in seconds, unless its `timeout` says otherwise.
const DEFAULT_TIMEOUT: u64 = 60;
/// The most bytes that are read of an answer. It may contain a whole file.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// A program that is asked about one kind of event.
#[derive(Clone, Debug)]
pub struct HookProgram {
    /// When it is asked.
    pub kind: HookEventKind,
    /// Its name in messages: its command, on one line of at most 60 characters.
    pub name: String,
    config: HookConfig,
}

/// The programs that a file of hooks names; `file` is its name in errors. Its form is that of
/// `config/hooks.yaml`. A file in which everything is commented out names none.
///
/// # Errors
/// Anything in it that is not understood, with its place.
pub fn parse_hooks(yaml: &str, file: &str) -> Result<Vec<HookProgram>, HooksError> {
    let mut programs = Vec::new();
    for config in config::parse(yaml, file)? {
        let name = config.command.display_name();
        programs.push(HookProgram { kind: config.kind, name, config });
    }
    Ok(programs)
}

impl HookProgram {
    /// Whether it is to be asked about this tool. An event without a tool (`""`) concerns every program of
    /// its kind.
    pub fn concerns(&self, tool: &str) -> bool {
        tool.is_empty() || self.config.matcher.matches(tool)
    }

    /// Its `matcher` as it was written; empty if it is for all tools.
    pub fn matcher(&self) -> &str {
        self.config.matcher.text()
    }

    /// Runs it. Whatever happens to the program is a decision.
    pub async fn decide(&self, event: &HookEvent, context: &ProgramContext) -> HookDecision {
        match self.run(event, context).await {
            Ok(finished) => self.decision_of(event.kind, &finished, context),
            Err(error) => self.failure(event.kind, &error.to_string()),
        }
    }

    async fn run(
        &self,
        event: &HookEvent,
        context: &ProgramContext,
    ) -> Result<Finished, ProcessError> {
        let limits = Limits {
            timeout: Duration::from_secs(self.timeout()),
            head: MAX_ANSWER_BYTES,
            tail: 0,
            ..Limits::default()
        };
        let mut input = input(event, context).to_string();
        input.push('\n');
        let child = self
            .child(context)?
            .separate_streams()
            .stdin(input)
            .env("CLAUDE_PROJECT_DIR", &context.cwd)
            .env(INSIDE_HOOK, "1");
        child.run(limits, &context.cancel, |_| {}).await
    }

    /// With arguments it is started directly, without them through a shell.
    fn child(&self, context: &ProgramContext) -> Result<ChildCommand, ProcessError> {
        let line = self.config.command.line();
        match &self.config.command.args {
            Some(args) => ChildCommand::program(line, args, &context.cwd, &context.secrets),
            None => ChildCommand::program("/bin/sh", ["-c", line], &context.cwd, &context.secrets),
        }
    }

    fn decision_of(
        &self,
        kind: HookEventKind,
        finished: &Finished,
        context: &ProgramContext,
    ) -> HookDecision {
        let said = context.clean(&finished.stderr);
        match finished.end {
            End::Exited(0) => match reply::read(kind, finished.output.trim(), context) {
                Ok(decision) => decision,
                Err(why) => self.failure(kind, &format!("its answer cannot be used ({why})")),
            },
            End::Exited(2) if said.is_empty() => {
                HookDecision::deny(format!("the hook `{}` said no without a reason", self.name))
            }
            End::Exited(2) => HookDecision::deny(said),
            End::Exited(code) if said.is_empty() => {
                self.failure(kind, &format!("exit code {code}"))
            }
            End::Exited(code) => self.failure(kind, &format!("exit code {code}, {said}")),
            End::Signalled(signal) => self.failure(kind, &format!("ended by signal {signal}")),
            End::TimedOut(_) => {
                self.failure(kind, &format!("no answer after {} s", self.timeout()))
            }
            End::Cancelled(_) => HookDecision::deny("the user interrupted"),
        }
    }

    fn failure(&self, kind: HookEventKind, reason: &str) -> HookDecision {
        HookDecision::failure(kind, self.config.command.on_failure, &self.name, reason)
    }

    /// In seconds.
    fn timeout(&self) -> u64 {
        self.config.command.timeout.map_or(DEFAULT_TIMEOUT, NonZeroU64::get)
    }
}

/// What the program reads on its standard input.
fn input(event: &HookEvent, context: &ProgramContext) -> Value {
    let mut input = json!({
        "session_id": context.session,
        "hook_event_name": event.kind,
        "cwd": context.cwd.to_string_lossy(),
        "permission_mode": "default",
        "agent_id": event.agent,
    });
    for (name, value) in &event.fields {
        input[name] = value.clone();
    }
    input
}
