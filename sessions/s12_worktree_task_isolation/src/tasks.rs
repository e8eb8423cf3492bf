//! Behind the lesson: a turn that is several tasks, `one | two` at the prompt, `--task` as a flag.

use std::mem;

use async_trait::async_trait;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use harness_app::App;
use harness_core::agent::task::outcome;
use harness_core::{Agent, AgentError, Chat, Event, Mutex, Next, Prompt, TurnLayer, TurnOutcome};
use tokio_util::sync::CancellationToken;

/// The most tasks of one turn.
const MAX_TASKS: usize = 16;

/// Tasks to begin with.
#[derive(Args, Clone, Debug, Default)]
pub struct TaskFlags {
    /// A task to begin with, taken as it is; give it again for more, they run at the same time
    #[arg(long = "task", value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub tasks: Vec<String>,
}

/// Runs the tasks of a turn.
#[async_trait]
pub trait TaskRunner: Send + Sync {
    /// Runs these tasks, at least one, and returns what came of each, in their order.
    ///
    /// # Errors
    /// None of them was begun.
    async fn run(
        &self,
        lead: &Agent,
        tasks: Vec<String>,
        cancel: &CancellationToken,
    ) -> Result<Vec<FinishedTask>, AgentError>;
}

/// What came of a task.
#[derive(Clone, Debug)]
pub struct FinishedTask {
    /// The name of the agent that did it.
    pub name: String,
    /// How that ended, and what was said last.
    pub ended: Result<TurnOutcome, AgentError>,
    /// What is left of it, or why that is not known, in a few words.
    pub left: Result<String, String>,
    /// What the user can do now.
    pub advice: Option<String>,
}

impl FinishedTask {
    /// How it ended and what there is of it, in a line.
    pub fn headline(&self) -> String {
        let (Ok(left) | Err(left)) = &self.left;
        format!("{} · {left}", outcome(&self.ended))
    }

    fn is_good(&self) -> bool {
        matches!(self.ended, Ok(TurnOutcome::Answered(_))) && self.left.is_ok()
    }

    /// The headline, the answer and the advice.
    fn report(&self) -> String {
        let mut report = format!("{}: {}\n", self.name, self.headline());
        if let Ok(TurnOutcome::Answered(answer)) = &self.ended {
            for line in answer.trim().lines() {
                report += &format!("  {line}\n");
            }
        }
        if let Some(advice) = &self.advice {
            report += &format!("  {advice}\n");
        }
        report
    }
}

/// Which prompts are tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskPrompts {
    /// All of them, also one without a bar.
    All,
    /// Those that begin with a bar: `| one | two`. Elsewhere a bar is a bar.
    LeadingBar,
}

impl TaskPrompts {
    /// The prompt's tasks. `None` if it is not a prompt for tasks.
    fn tasks(self, prompt: &str) -> Option<Vec<String>> {
        match self {
            Self::All => Some(split(prompt)),
            Self::LeadingBar => prompt.trim_start().strip_prefix('|').map(split),
        }
    }
}

/// Takes prompts for tasks, and begins with those of the flags.
pub fn with_tasks(
    app: App,
    flags: TaskFlags,
    prompts: TaskPrompts,
    runner: impl TaskRunner + 'static,
) -> App {
    let has_work = !flags.tasks.is_empty();
    let app = app.layer(TaskTurns { prompts, from_flags: Mutex::new(flags.tasks), runner });
    if has_work { app.begins() } else { app }
}

/// The layer that makes a turn of tasks.
struct TaskTurns<R> {
    prompts: TaskPrompts,
    /// The tasks of the flags, until the first turn.
    from_flags: Mutex<Vec<String>>,
    runner: R,
}

#[async_trait]
impl<R: TaskRunner> TurnLayer for TaskTurns<R> {
    async fn turn(
        &self,
        prompt: Prompt,
        chat: &mut Chat,
        cancel: &CancellationToken,
        next: Next<'_>,
    ) -> Result<TurnOutcome, AgentError> {
        let of_prompt = match &prompt {
            Prompt::Said(text) => self.prompts.tasks(text),
            Prompt::News => Some(Vec::new()), // the tasks of the flags begin without a prompt
        };
        let Some(of_prompt) = of_prompt else { return next.turn(prompt, chat, cancel).await };
        let mut tasks = mem::take(&mut *self.from_flags.lock());
        tasks.extend(of_prompt);
        if tasks.is_empty() && prompt == Prompt::News {
            return next.turn(prompt, chat, cancel).await;
        }
        let count = tasks.len();
        if count == 0 || count > MAX_TASKS {
            return Err(AgentError::Fatal(format!(
                "{count} tasks: give one to {MAX_TASKS} at a time"
            )));
        }
        let finished = self.runner.run(&chat.agent, tasks, cancel).await?;
        emit_advice(&chat.agent, &finished);
        if cancel.is_cancelled() {
            return Ok(TurnOutcome::Interrupted);
        }
        let report: String = finished.iter().map(FinishedTask::report).collect();
        if finished.iter().all(FinishedTask::is_good) {
            return Ok(TurnOutcome::Answered(report));
        }
        Err(AgentError::Fatal(format!("not every task was done\n{report}")))
    }
}

fn emit_advice(lead: &Agent, finished: &[FinishedTask]) {
    for task in finished {
        if let Some(advice) = &task.advice {
            lead.emit(&Event::Notice(format!("{}: {advice}", task.name)));
        }
    }
}

/// The tasks of a prompt: what stands between bars that have a blank on both sides. A bar inside `"…"` or
/// backquotes is part of its task, so that "what does `ls | wc` print?" is one task.
fn split(prompt: &str) -> Vec<String> {
    let mut tasks = Vec::new();
    let mut task = String::new();
    let mut rest = prompt;
    while let Some(letter) = rest.chars().next() {
        let behind = &rest[letter.len_utf8()..];
        if letter == '|' && task.ends_with(char::is_whitespace) && begins_with_blank(behind) {
            tasks.push(mem::take(&mut task));
            rest = behind;
            continue;
        }
        let length = quoted_length(rest).unwrap_or(letter.len_utf8());
        task.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    tasks.push(task);
    let trimmed = tasks.iter().map(|task| task.trim());
    trimmed.filter(|task| !task.is_empty()).map(str::to_owned).collect()
}

fn begins_with_blank(text: &str) -> bool {
    text.starts_with(char::is_whitespace)
}

/// How many bytes a text takes up to its closing quote, if it begins with a quote that is closed.
fn quoted_length(text: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|letter| matches!(letter, '"' | '`'))?;
    let inside = &text[quote.len_utf8()..];
    let end = inside.find(quote)?;
    Some(end + 2 * quote.len_utf8())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use harness_core::{Play, Script};

    use super::*;

    #[test]
    fn a_bar_inside_a_command_does_not_split_a_task() {
        for (prompt, expected) in [
            ("one | two", vec!["one", "two"]),
            ("what does `ls | wc` print?", vec!["what does `ls | wc` print?"]),
            ("say \"a | b\" | two", vec!["say \"a | b\"", "two"]),
            ("a|b", vec!["a|b"]),
            ("an odd \" and | two", vec!["an odd \" and", "two"]),
            ("über | größer", vec!["über", "größer"]),
            (" | | ", vec![]),
            ("one |", vec!["one |"]),
        ] {
            assert_eq!(split(prompt), expected, "{prompt}");
        }
    }

    /// Answers each task with its own text, and fails one that is called so.
    struct Echo;

    #[async_trait]
    impl TaskRunner for Echo {
        async fn run(
            &self,
            _: &Agent,
            tasks: Vec<String>,
            _: &CancellationToken,
        ) -> Result<Vec<FinishedTask>, AgentError> {
            let finished = |task: String| FinishedTask {
                name: "echo".to_owned(),
                left: if task == "fail" { Err("lost".to_owned()) } else { Ok("kept".to_owned()) },
                ended: Ok(TurnOutcome::Answered(task)),
                advice: Some("look".to_owned()),
            };
            Ok(tasks.into_iter().map(finished).collect())
        }
    }

    #[tokio::test]
    async fn tasks_of_flags_come_first_and_are_taken_as_they_are() {
        let play = Play::from_yaml("prompt: go\nscenes: []").unwrap();
        let agent = Agent::new(Arc::new(Script::new(play)), std::env::temp_dir());
        let flags = TaskFlags { tasks: vec!["a | b".to_owned()] };
        let mut app = with_tasks(App::from(agent), flags, TaskPrompts::All, Echo).start().unwrap();
        assert_eq!(app.take_first_prompt(), Some(Prompt::News));
        let cancel = CancellationToken::new();
        let mut turn = async |prompt: Prompt| {
            let ended = app.turn(prompt, &cancel).await;
            ended.map_err(|error| error.to_string())
        };
        let one = |task: &str| format!("echo: answered · kept\n  {task}\n  look\n");
        assert_eq!(turn(Prompt::News).await, Ok(TurnOutcome::Answered(one("a | b"))));
        assert_eq!(turn("a | b".into()).await, Ok(TurnOutcome::Answered(one("a") + &one("b"))));
        let failed = turn("fail".into()).await.unwrap_err();
        assert_eq!(failed, "not every task was done\necho: answered · lost\n  fail\n  look\n");
        let none = turn(" | ".into()).await.unwrap_err();
        assert_eq!(none, "0 tasks: give one to 16 at a time");
        let many = turn(Prompt::Said("x | ".repeat(17))).await.unwrap_err();
        assert_eq!(many, "17 tasks: give one to 16 at a time");
    }
}
