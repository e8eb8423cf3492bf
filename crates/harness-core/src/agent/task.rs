//! A task: what an agent does alone, with a fresh history and a log of it, and that has an end whatever happens
//! on the way.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;
use serde_json::Map;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::agent::{Agent, AgentError};
use crate::conversation::Conversation;
use crate::conversation::log::ConversationLog;
use crate::conversation::message::ToolCall;
use crate::event::TurnOutcome;
use crate::tool::Tool;
use crate::tool::builtin::Bash;

impl Agent {
    /// Does this task alone, with a fresh history. Its log is kept below `workspace`. Where and as what it works
    /// the agent is told by a reminder, since its system prompt is to stay the same from task to task. A panic is
    /// the failure of this task, and of no other beside it.
    ///
    /// # Errors
    /// Those of [`Agent::run`], or the log cannot be made.
    pub async fn run_task(
        mut self,
        workspace: &Path,
        reminder: String,
        task: &str,
        cancel: &CancellationToken,
    ) -> Result<TurnOutcome, AgentError> {
        let log = ConversationLog::begin(workspace, "tasks", &self.name);
        let log = log.map_err(|error| AgentError::Fatal(error.to_string()))?;
        self.hooks.push(Arc::new(log));
        let mut conversation = Conversation::new();
        conversation.remind(reminder);
        conversation.say(task);
        let turn = AssertUnwindSafe(self.run(&mut conversation, cancel));
        match turn.catch_unwind().await {
            Ok(ended) => ended,
            Err(_) => Err(AgentError::Fatal("the task panicked; this is a bug".to_owned())),
        }
    }

    /// Runs a command that decides whether a task is done. It passes the hooks and the gate like any call.
    ///
    /// # Errors
    /// It failed or was not run, and why.
    pub async fn passes_check(
        &self,
        command: &str,
        cancel: &CancellationToken,
    ) -> Result<(), String> {
        let call = ToolCall {
            id: "check".to_owned(),
            name: Bash::NAME.to_owned(),
            input: Map::from_iter([("command".to_owned(), command.into())]),
            rest: Map::new(),
        };
        let acted = self.act(&[call], cancel).await;
        match acted.results.first() {
            Some(result) if !result.is_error => Ok(()),
            Some(result) => Err(result.content.text().into_owned()),
            None => Err(String::new()),
        }
    }
}

/// Does all of these at the same time, each as a task of its own, and returns what came of them in their
/// order. When it is dropped they end.
///
/// # Errors
/// One of them panicked.
pub async fn join_tasks<W>(works: impl IntoIterator<Item = W>) -> Result<Vec<W::Output>, AgentError>
where
    W: Future<Output: Send + 'static> + Send + 'static,
{
    let spawn = |work| AbortOnDropHandle::new(tokio::spawn(work));
    let running: Vec<_> = works.into_iter().map(spawn).collect();
    let mut done = Vec::with_capacity(running.len());
    for work in running {
        done.push(work.await.map_err(|error| AgentError::Fatal(error.to_string()))?);
    }
    Ok(done)
}

/// How it ended, in a few words.
pub fn outcome(ended: &Result<TurnOutcome, AgentError>) -> String {
    match ended {
        Ok(TurnOutcome::Answered(_)) => "answered".to_owned(),
        Ok(TurnOutcome::Refused(_)) => "declined by the model".to_owned(),
        Ok(TurnOutcome::Interrupted) => "interrupted".to_owned(),
        Err(error) => format!("failed: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::message::Message;
    use crate::host::journal::Journal;
    use crate::model::{Model, ModelStream, Request};
    use crate::tool::{ChildKind, ChildSpec};

    struct Broken;

    impl Model for Broken {
        fn stream(&self, _: &Request<'_>) -> ModelStream {
            unreachable!("a bug in a model")
        }
    }

    #[tokio::test]
    async fn a_task_that_panics_has_failed_and_left_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let lead = Agent::new(Arc::new(Broken), folder.path());
        let child = lead.child(ChildSpec::new("child", ChildKind::Task));
        let cancel = CancellationToken::new();
        let ended = child.run_task(&lead.cwd, "You are here.".to_owned(), "go", &cancel);
        assert_eq!(outcome(&ended.await), "failed: the task panicked; this is a bug");
        let record = folder.path().join(".harness/tasks/child-1.jsonl");
        let said = Journal::<Message>::new(record).read().unwrap().records.remove(0).value;
        assert_eq!(said.text(), "go");
    }

    #[tokio::test]
    async fn a_check_runs_behind_the_gate_and_tells_why_it_failed() {
        let folder = tempfile::tempdir().unwrap();
        let mut agent = Agent::new(Arc::new(Broken), folder.path());
        agent.tools = crate::tool::builtin::all();
        let cancel = CancellationToken::new();
        assert_eq!(agent.passes_check("true", &cancel).await, Ok(()));
        let failed = agent.passes_check("echo no; exit 3", &cancel).await;
        assert_eq!(failed, Err("no\n[exit code 3]".to_owned()));
        agent.gate.policy = Arc::new(crate::Rules::built_in().unwrap().deny_only());
        let denied = agent.passes_check("sudo true", &cancel).await.unwrap_err();
        assert!(denied.starts_with("denied: "), "{denied}");
    }

    #[tokio::test]
    async fn works_run_together_and_answer_in_their_order() {
        let meet = Arc::new(tokio::sync::Barrier::new(3));
        let works = (0..3).map(|number| {
            let meet = meet.clone();
            async move {
                meet.wait().await;
                number
            }
        });
        assert_eq!(join_tasks(works).await, Ok(vec![0, 1, 2]));
    }
}
