//! A turn that is several tasks: `one | two` at the prompt, `--task` as a flag.

use async_trait::async_trait;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use harness_app::App;
use harness_core::agent::task::outcome;
use harness_core::{Agent, AgentError, Chat, Event, Mutex, Next, Prompt, TurnLayer, TurnOutcome};
use tokio_util::sync::CancellationToken;

/// The most tasks of one turn.
const MOST: usize = 16;

/// Tasks to begin with.
#[derive(Args, Clone, Debug, Default)]
pub struct TaskFlags {
    /// A task to begin with, taken as it is; give it again for more, they run at the same time
    #[arg(long = "task", value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub tasks: Vec<String>,
}

/// Who does the tasks of a turn.
#[async_trait]
pub trait Tasks: Send + Sync {
    /// Does them, at least one, and tells what came of each, in their order.
    ///
    /// # Errors
    /// None has begun.
    async fn run(
        &self,
        lead: &Agent,
        tasks: Vec<String>,
        cancel: &CancellationToken,
    ) -> Result<Vec<Done>, AgentError>;
}

/// What came of a task.
#[derive(Clone, Debug)]
pub struct Done {
    /// Who did it.
    pub name: String,
    /// How that ended, and what was said last.
    pub ended: Result<TurnOutcome, AgentError>,
    /// What is left of it, or why that is not known, in a few words.
    pub left: Result<String, String>,
    /// What the user can do now.
    pub advice: Option<String>,
}

impl Done {
    /// How it ended and what there is of it, in a line.
    pub fn headline(&self) -> String {
        let (Ok(left) | Err(left)) = &self.left;
        format!("{} · {left}", outcome(&self.ended))
    }

    fn is_good(&self) -> bool {
        matches!(self.ended, Ok(TurnOutcome::Answered(_))) && self.left.is_ok()
    }

    /// All of it, with the answer.
    fn report(&self) -> String {
        let answer = match &self.ended {
            Ok(TurnOutcome::Answered(answer)) => answer.trim(),
            _ => "",
        };
        let lines = answer.lines().chain(self.advice.as_deref()).map(|line| format!("  {line}\n"));
        format!("{}: {}\n{}", self.name, self.headline(), lines.collect::<String>())
    }
}

/// Which prompts are tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bars {
    /// All of them, also one without a bar.
    All,
    /// Those that begin with a bar: `| one | two`. Elsewhere a bar is a bar.
    Leading,
}

impl Bars {
    /// The prompt's tasks, if it has any.
    fn tasks(self, prompt: &str) -> Option<Vec<String>> {
        match self {
            Self::All => Some(split(prompt)),
            Self::Leading => prompt.trim_start().strip_prefix('|').map(split),
        }
    }
}

/// Makes the app take prompts for tasks, and begin with those of the flags.
pub fn with_tasks(app: App, flags: TaskFlags, bars: Bars, tasks: impl Tasks + 'static) -> App {
    let begins = !flags.tasks.is_empty();
    let app = app.layer(TaskTurns { first: Mutex::new(flags.tasks), bars, tasks });
    if begins { app.begins() } else { app }
}

struct TaskTurns<T> {
    bars: Bars,
    /// Those of the flags, until the first turn.
    first: Mutex<Vec<String>>,
    tasks: T,
}

#[async_trait]
impl<T: Tasks> TurnLayer for TaskTurns<T> {
    async fn turn(
        &self,
        prompt: Prompt,
        chat: &mut Chat,
        cancel: &CancellationToken,
        next: Next<'_>,
    ) -> Result<TurnOutcome, AgentError> {
        let own = prompt.text().map_or(Some(Vec::new()), |prompt| self.bars.tasks(prompt));
        let Some(own) = own else { return next.turn(prompt, chat, cancel).await };
        let first = std::mem::take(&mut *self.first.lock());
        let tasks: Vec<String> = first.into_iter().chain(own).collect();
        match tasks.len() {
            0 if prompt == Prompt::News => return next.turn(prompt, chat, cancel).await, // news
            1..=MOST => {}
            many => {
                let why = format!("{many} tasks: give one to {MOST} at a time");
                return Err(AgentError::Fatal(why));
            }
        }
        let done = self.tasks.run(&chat.agent, tasks, cancel).await?;
        for done in &done {
            if let Some(advice) = &done.advice {
                chat.agent.emit(&Event::Notice(format!("{}: {advice}", done.name)));
            }
        }
        let report: String = done.iter().map(Done::report).collect();
        match done.iter().all(Done::is_good) {
            _ if cancel.is_cancelled() => Ok(TurnOutcome::Interrupted),
            true => Ok(TurnOutcome::Answered(report)),
            false => Err(AgentError::Fatal(format!("not every task was done\n{report}"))),
        }
    }
}

/// The tasks of a prompt: what stands between bars that have a blank on both sides. A bar inside `"…"` or
/// backquotes is part of its task, so that "what does `ls | wc` print?" is one.
fn split(prompt: &str) -> Vec<String> {
    let (mut tasks, mut task, mut rest) = (Vec::new(), String::new(), prompt);
    while let Some(letter) = rest.chars().next() {
        let quoted = matches!(letter, '"' | '`').then(|| rest[1..].find(letter)).flatten();
        let length = quoted.map_or(letter.len_utf8(), |end| end + 2);
        let bar = letter == '|'
            && task.ends_with(char::is_whitespace)
            && rest[1..].starts_with(char::is_whitespace);
        match bar {
            true => tasks.push(std::mem::take(&mut task)),
            false => task.push_str(&rest[..length]),
        }
        rest = &rest[length..];
    }
    tasks.push(task);
    let tasks = tasks.iter().map(|task| task.trim()).filter(|task| !task.is_empty());
    tasks.map(str::to_owned).collect()
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
    impl Tasks for Echo {
        async fn run(
            &self,
            _: &Agent,
            tasks: Vec<String>,
            _: &CancellationToken,
        ) -> Result<Vec<Done>, AgentError> {
            let done = |task: String| Done {
                name: "echo".to_owned(),
                left: if task == "fail" { Err("lost".to_owned()) } else { Ok("kept".to_owned()) },
                ended: Ok(TurnOutcome::Answered(task)),
                advice: Some("look".to_owned()),
            };
            Ok(tasks.into_iter().map(done).collect())
        }
    }

    #[tokio::test]
    async fn tasks_of_flags_come_first_and_are_taken_as_they_are() {
        let play = Play::from_yaml("prompt: go\nscenes: []").unwrap();
        let agent = Agent::new(Arc::new(Script::new(play)), std::env::temp_dir());
        let flags = TaskFlags { tasks: vec!["a | b".to_owned()] };
        let app = with_tasks(App::from(agent), flags, Bars::All, Echo);
        let mut app = app.start().unwrap();
        assert_eq!(app.take_first_prompt(), Some(Prompt::News));
        let cancel = CancellationToken::new();
        let mut turn =
            async |prompt: Prompt| app.turn(prompt, &cancel).await.map_err(|e| e.to_string());
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
