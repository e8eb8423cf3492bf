//! What a session gives: its agent, and what it adds beside it.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use futures_util::future::BoxFuture;
use harness_core::{Agent, Chat, Conversation, Mechanism, Observer, TurnLayer};
use tokio::sync::Notify;

use crate::running::RunningApp;
use crate::steering::Steering;
use crate::surroundings::remind_of_surroundings;
use crate::trusted::{self, Trusted, WorkspaceFile};
use crate::viewers::Viewers;

type RunCommand =
    Box<dyn for<'a> Fn(&'a mut Chat, &'a str) -> BoxFuture<'a, Result<String>> + Send + Sync>;
type AtStart = Box<dyn FnOnce(&Agent) + Send>;
type AtExit = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// A command of the prompt line: `:name args`.
pub(crate) struct Command {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: RunCommand,
}

/// A program without a screen. Made from an agent; each method adds one thing. A front starts and drives it.
pub struct App {
    pub(crate) chat: Chat,
    pub(crate) commands: Vec<Command>,
    pub(crate) layers: Vec<Arc<dyn TurnLayer>>,
    pub(crate) steering: Option<Arc<dyn Steering>>,
    pub(crate) wakes: Vec<Arc<Notify>>,
    pub(crate) begins: bool,
    pub(crate) at_start: Vec<AtStart>,
    pub(crate) at_exit: Vec<AtExit>,
    pub(crate) viewers: Viewers,
    notices: Vec<String>,
    trusted: Vec<Trusted>,
    exit_code: Option<ExitCode>,
}

impl From<Agent> for App {
    fn from(agent: Agent) -> Self {
        Self {
            chat: Chat { agent, conversation: Conversation::new() },
            commands: Vec::new(),
            layers: Vec::new(),
            steering: None,
            wakes: Vec::new(),
            begins: false,
            at_start: Vec::new(),
            at_exit: Vec::new(),
            viewers: Viewers::default(),
            notices: Vec::new(),
            trusted: Vec::new(),
            exit_code: None,
        }
    }
}

/// What a session builds.
impl App {
    /// A session that has done what its subcommand asked: there is nothing to run.
    pub fn done(agent: Agent, code: ExitCode) -> Self {
        Self { exit_code: Some(code), ..Self::from(agent) }
    }

    /// Installs one more mechanism on the agent.
    pub fn with(mut self, mechanism: impl Mechanism) -> Self {
        self.chat.agent = self.chat.agent.with(mechanism);
        self
    }

    /// The agent as it is now.
    pub fn agent(&self) -> &Agent {
        &self.chat.agent
    }

    /// A log or a meter: it is told everything that happens to the agent and its children.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.chat.agent.observers.add_for_family(observer);
        self
    }

    /// The conversation to begin with, a resumed one.
    pub fn conversation(mut self, conversation: Conversation) -> Self {
        self.chat.conversation = conversation;
        self
    }

    /// A command `:name`. What it returns is shown; `about` is its line in `:help`. Dropped half-way
    /// when the user interrupts, so change the conversation last and at once.
    pub fn command<F>(mut self, name: &'static str, about: &'static str, run: F) -> Self
    where
        F: for<'a> Fn(&'a mut Chat, &'a str) -> BoxFuture<'a, Result<String>>
            + Send
            + Sync
            + 'static,
    {
        self.commands.push(Command { name, about, run: Box::new(run) });
        self
    }

    /// A command that has nothing to wait for.
    pub fn quick(
        self,
        name: &'static str,
        about: &'static str,
        run: impl Fn(&mut Chat, &str) -> Result<String> + Send + Sync + 'static,
    ) -> Self {
        self.command(name, about, move |chat, words| Box::pin(std::future::ready(run(chat, words))))
    }

    /// A layer around every turn. The first that was added is the outermost.
    pub fn layer(mut self, layer: impl TurnLayer + 'static) -> Self {
        self.layers.push(Arc::new(layer));
        self
    }

    /// Decides what happens to the lines that are typed while a turn runs.
    pub fn steering(mut self, steering: Arc<dyn Steering>) -> Self {
        self.steering = Some(steering);
        self
    }

    /// Notified when there is news for an idle agent; a `before_model` hook says what the news is.
    pub fn wake(mut self, wake: Arc<Notify>) -> Self {
        self.wakes.push(wake);
        self
    }

    /// A file of the workspace that takes effect once the user has seen it: `:trust` shows it, and `take` takes
    /// it after the yes. Whether it is trusted already, ask the file.
    pub fn trusts(
        mut self,
        file: WorkspaceFile,
        take: impl Fn(&str) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.trusted.push(Trusted { file, take: Box::new(take) });
        self
    }

    /// There is work already, from flags: the first turn begins by itself, before anything is read, and has
    /// no prompt.
    pub fn begins(mut self) -> Self {
        self.begins = true;
        self
    }

    /// Sentences for the user, shown before the first prompt.
    pub fn notices(mut self, sentences: impl IntoIterator<Item = String>) -> Self {
        self.notices.extend(sentences);
        self
    }

    /// What begins once everything is installed, with the finished agent. A mechanism that makes children for as
    /// long as the program runs makes them here, so that they have all that the agent has.
    pub fn at_start(mut self, start: impl FnOnce(&Agent) + Send + 'static) -> Self {
        self.at_start.push(Box::new(start));
        self
    }

    /// What is done before the program leaves.
    pub fn at_exit<F>(mut self, last: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.at_exit.push(Box::new(move || Box::pin(last())));
        self
    }

    /// Those who watch through the front, for what a mechanism shows outside of a turn.
    pub fn viewers(&self) -> Viewers {
        self.viewers.clone()
    }
}

/// What a front asks before it starts the app.
impl App {
    /// The exit code of a session that has done its subcommand. `None`: there is an app to run.
    pub fn exit_code(&self) -> Option<ExitCode> {
        self.exit_code
    }

    /// Takes the sentences to show before the first prompt.
    pub fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// Adds a display or a report of the front's. It sees what happens to the agent and its children, and what
    /// mechanisms show through [`App::viewers`].
    pub fn viewer(mut self, viewer: Arc<dyn Observer>) -> Self {
        self.chat.agent.observers.add_for_family(viewer.clone());
        self.viewers.add(viewer);
        self
    }

    /// Checks that everything fits together, and makes the app ready to be driven.
    ///
    /// # Errors
    /// Two tools or two commands have the same name.
    pub fn start(mut self) -> Result<RunningApp> {
        if let [clash, ..] = self.chat.agent.tools.clashes() {
            bail!("two tools are called `{clash}`; rename one of them");
        }
        if !self.trusted.is_empty() {
            let files = std::mem::take(&mut self.trusted);
            let about = "shows a file of the workspace that waits for your yes, and lets it count";
            self = self.quick("trust", about, move |_, hash| trusted::agree(&files, hash));
        }
        if let Some(clash) = self.duplicate_command() {
            bail!("two commands are called `:{clash}`; rename one of them");
        }
        remind_of_surroundings(&mut self.chat);
        Ok(RunningApp { app: self })
    }

    fn duplicate_command(&self) -> Option<&'static str> {
        let names: Vec<_> = self.commands.iter().map(|command| command.name).collect();
        let repeated = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name));
        repeated.map(|(_, name)| *name)
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("chat", &self.chat).finish_non_exhaustive()
    }
}
