//! An errand: a task that an agent does alone, with a fresh history and a record of it, and that has an end
//! whatever happens on the way.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use serde_json::Map;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::agent::log::ConversationLog;
use crate::agent::{Agent, AgentError};
use crate::conversation::Conversation;
use crate::conversation::message::ToolCall;
use crate::event::TurnOutcome;
use crate::tool::Tool;
use crate::tool::builtin::Bash;

impl Agent {
    /// Does this task alone, for `lead`, under whose workspace the record is kept. The agent is told where it
    /// is by a note, since its system prompt is to stay the same from errand to errand. A panic is the failure
    /// of this errand, and of no other beside it.
    ///
    /// # Errors
    /// Those of [`Agent::run`], and there can be no record.
    pub async fn run_task(
        mut self,
        lead: &Agent,
        note: String,
        task: &str,
        cancel: &CancellationToken,
    ) -> Result<TurnOutcome, AgentError> {
        let record = ConversationLog::begin(&lead.cwd, "tasks", &self.name);
        self.hooks.push(Arc::new(record.map_err(|error| AgentError::Fatal(error.to_string()))?));
        let mut conversation = Conversation::new();
        conversation.remind(note);
        conversation.say(task);
        let ended = AssertUnwindSafe(self.run(&mut conversation, cancel)).catch_unwind().await;
        let panicked = || AgentError::Fatal("the task panicked; this is a bug".to_owned());
        ended.unwrap_or_else(|_| Err(panicked()))
    }
}

impl Agent {
    /// Runs a command that decides whether a task is done. It passes the hooks and the gate like any call.
    ///
    /// # Errors
    /// It failed or was not run, and why.
    pub async fn check(&self, command: &str, cancel: &CancellationToken) -> Result<(), String> {
        let input = Map::from_iter([("command".to_owned(), command.into())]);
        let (id, name) = ("check".to_owned(), Bash::NAME.to_owned());
        let acted = self.act(&[ToolCall { id, name, input, rest: Map::new() }], cancel).await;
        match acted.results.first() {
            Some(result) if !result.is_error => Ok(()),
            result => Err(result.map_or_else(String::new, |it| it.content.text().into_owned())),
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

    struct Broken;

    impl Model for Broken {
        fn stream(&self, _: &Request<'_>) -> ModelStream {
            unreachable!("a bug in a model")
        }
    }

    #[tokio::test]
    async fn an_errand_that_panics_has_failed_and_left_its_record() {
        let folder = tempfile::tempdir().unwrap();
        let lead = Agent::new(Arc::new(Broken), folder.path());
        let child = Agent { name: "child".to_owned(), ..lead.clone() };
        let cancel = CancellationToken::new();
        let ended = child.run_task(&lead, "You are here.".to_owned(), "go", &cancel);
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
        assert_eq!(agent.check("true", &cancel).await, Ok(()));
        let failed = agent.check("echo no; exit 3", &cancel).await;
        assert_eq!(failed, Err("no\n[exit code 3]".to_owned()));
        agent.gate.policy = Arc::new(crate::Rules::built_in().unwrap().deny_only());
        let denied = agent.check("sudo true", &cancel).await.unwrap_err();
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
