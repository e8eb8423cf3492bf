//! What a front drives: an app that was started. Plain data goes in and comes out; showing it is the front's.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::Result;
use futures_util::future::select_all;
use harness_core::{Agent, AgentError, Event, Next, Prompt, TurnOutcome};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::line::{self, Line, UnknownCommand};
use crate::steering::Steering;

/// An app that was started by [`App::start`].
///
/// A front calls [`RunningApp::enter`] when it is ready to show things, then turns and commands as the user
/// asks for them, and [`RunningApp::leave`] at the end.
#[derive(Debug)]
pub struct RunningApp {
    pub(crate) app: App,
}

impl RunningApp {
    /// The program is ready for its first prompt: begins what mechanisms want begun, says so to the observers, and
    /// shows what mechanisms had to show until now.
    pub fn enter(&mut self) {
        for start in std::mem::take(&mut self.app.at_start) {
            start(&self.app.chat.agent);
        }
        self.agent().emit(&Event::SessionStarted);
        self.app.viewers.open();
    }

    /// The agent as it is now.
    pub fn agent(&self) -> &Agent {
        &self.app.chat.agent
    }

    /// The prompt of a turn that begins by itself, because flags brought work. `None` from the second time on.
    pub fn take_first_prompt(&mut self) -> Option<Prompt> {
        let begins = std::mem::take(&mut self.app.begins);
        begins.then_some(Prompt::News)
    }

    /// Runs a turn through all layers. Cancel it to end it with a valid conversation; drop it only when the
    /// program leaves.
    ///
    /// # Errors
    /// The turn could not be finished; the next one can be started all the same.
    pub async fn turn(
        &mut self,
        prompt: Prompt,
        cancel: &CancellationToken,
    ) -> Result<TurnOutcome, AgentError> {
        if let Prompt::Said(prompt) = &prompt {
            self.agent().emit(&Event::Prompt(prompt.clone()));
        }
        Next::through(&self.app.layers).turn(prompt, &mut self.app.chat, cancel).await
    }

    /// What becomes of the lines that are typed while a turn runs. `None`: they wait as next prompts.
    pub fn steering(&self) -> Option<Arc<dyn Steering>> {
        self.app.steering.clone()
    }

    /// What a line at the prompt asks for.
    ///
    /// # Errors
    /// It names a command that is not there; the error says what to type instead.
    pub fn parse<'a>(&self, line: &'a str) -> Result<Line<'a>, UnknownCommand> {
        let names: Vec<_> = self.app.commands.iter().map(|command| command.name).collect();
        line::parse(line, &names)
    }

    /// Runs the command of this name, as [`RunningApp::parse`] has read it, and returns what it has to say,
    /// which may be nothing. It may ask a model and take a while; dropped half-way it has changed nothing.
    ///
    /// # Errors
    /// The command's own, or there is no such command.
    pub async fn run_command(&mut self, name: &str, args: &str) -> Result<String> {
        let App { chat, commands, .. } = &mut self.app;
        let command = commands.iter().find(|command| command.name == name);
        let command = command.ok_or_else(|| anyhow::anyhow!("there is no command :{name}"))?;
        (command.run)(chat, args).await
    }

    /// The commands, a line each. How to leave and to interrupt is the front's to say.
    pub fn help(&self) -> String {
        let mut help = String::new();
        for command in &self.app.commands {
            let _ = writeln!(help, "  :{:<12} {}", command.name, command.about);
        }
        help + "  :help        this list"
    }

    /// Waits until there is news for the idle agent; then a turn with [`Prompt::News`] is due. For ever, where
    /// no mechanism brings any.
    pub async fn wait_for_news(&self) {
        let wakes: Vec<_> = self.app.wakes.iter().map(|wake| Box::pin(wake.notified())).collect();
        if wakes.is_empty() {
            return std::future::pending().await;
        }
        select_all(wakes).await;
    }

    /// The program leaves: says so to the observers, and does what mechanisms have to do then, such as to stop
    /// what runs in the background. A front may stop waiting for it.
    pub async fn leave(&mut self) {
        self.agent().emit(&Event::SessionEnded);
        for last in std::mem::take(&mut self.app.at_exit) {
            last().await;
        }
    }
}
