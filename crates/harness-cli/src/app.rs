//! What a session gives to the terminal: its agent, and what it adds beside it.

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use futures_util::future::BoxFuture;
use harness_core::{Agent, Block, Chat, Conversation, Event, Mechanism, Observer, TurnLayer};
use jiff::{Timestamp, tz::TimeZone};
use tokio::sync::Notify;

use crate::screen::Screen;
use crate::trusted::WorkspaceFile;

/// Notes where and when the work goes on, unless the conversation says so already: a resumed one may
/// come from another day or folder. Not in the system prompt: that would empty the prompt cache.
pub fn remind_of_surroundings(chat: &mut Chat) {
    const BEGIN: &str = "The workspace is ";
    let cwd = chat.agent.cwd.display();
    let today = today();
    let now = format!("{BEGIN}{cwd}. Today is {today}.");
    let blocks = chat.conversation.messages().iter().flat_map(|message| &message.content);
    let said = blocks.rev().find_map(|block| match block {
        Block::Reminder(note) if note.starts_with(BEGIN) => Some(note),
        _ => None,
    });
    if said != Some(&now) {
        chat.conversation.remind(now);
    }
}

/// The date here. Reads `/etc/localtime` directly: loading the whole time-zone database delays the start.
fn today() -> jiff::civil::Date {
    let set = std::env::var_os("TZ").is_some();
    let local = std::fs::read("/etc/localtime").ok().filter(|_| !set);
    let zone = local.and_then(|rules| TimeZone::tzif("local", &rules).ok());
    Timestamp::now().to_zoned(zone.unwrap_or_else(TimeZone::system)).date()
}

/// What happens to a line that is typed while a turn runs.
pub trait Steering: Send + Sync {
    /// Takes the line, or lets it wait as a next prompt.
    fn typed(&self, line: String) -> Heard;

    /// The turn is over: the lines that were taken and that nobody was told of. They become the next
    /// prompts, in this order, before those that wait already.
    fn left(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What became of a line that was typed while a turn runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It waits as a next prompt.
    Waits(String),
    /// It was taken. The text is shown to the user.
    Taken(String),
}

type Run =
    Box<dyn for<'a> Fn(&'a mut Chat, &'a str) -> BoxFuture<'a, Result<String>> + Send + Sync>;
type Take = Box<dyn Fn(&str) -> Result<()> + Send + Sync>;
type AtStart = Box<dyn FnOnce(&Agent) + Send>;
type AtExit = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;
type MakeDisplay = Box<dyn FnOnce(Screen) -> Arc<dyn Observer> + Send>;

/// A command of the prompt line: `:name args`.
pub(crate) struct Command {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: Run,
}

/// A file of the workspace that waits for the user's yes, and what is done with it then.
pub(crate) struct Trusted {
    pub(crate) file: WorkspaceFile,
    pub(crate) take: Take,
}

/// A session as the terminal runs it. Made from an agent; each method adds one thing.
pub struct App {
    pub(crate) chat: Chat,
    pub(crate) commands: Vec<Command>,
    pub(crate) layers: Vec<Arc<dyn TurnLayer>>,
    pub(crate) display: Option<MakeDisplay>,
    pub(crate) shows: Vec<MakeDisplay>,
    pub(crate) steering: Option<Arc<dyn Steering>>,
    pub(crate) wakes: Vec<Arc<Notify>>,
    pub(crate) begins: bool,
    pub(crate) told: Vec<String>,
    pub(crate) trusted: Vec<Trusted>,
    pub(crate) at_start: Vec<AtStart>,
    pub(crate) at_exit: Vec<AtExit>,
    pub(crate) exit: Option<ExitCode>,
}

impl From<Agent> for App {
    fn from(agent: Agent) -> Self {
        Self {
            chat: Chat { agent, conversation: Conversation::new() },
            commands: Vec::new(),
            layers: Vec::new(),
            display: None,
            shows: Vec::new(),
            steering: None,
            wakes: Vec::new(),
            begins: false,
            told: Vec::new(),
            trusted: Vec::new(),
            at_start: Vec::new(),
            at_exit: Vec::new(),
            exit: None,
        }
    }
}

impl App {
    /// A session that has done what its subcommand asked: there is nothing to run.
    pub fn done(agent: Agent, code: ExitCode) -> Self {
        Self { exit: Some(code), ..Self::from(agent) }
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

    /// The conversation to begin with, a resumed one.
    pub fn conversation(mut self, conversation: Conversation) -> Self {
        self.chat.conversation = conversation;
        self
    }

    /// A command `:name`. What it returns is printed; `about` is its line in `:help`. Dropped half-way
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

    /// Another display in place of the default one.
    pub fn display(
        mut self,
        make: impl FnOnce(Screen) -> Arc<dyn Observer> + Send + 'static,
    ) -> Self {
        self.display = Some(Box::new(make));
        self
    }

    /// Something that is shown beside what the display shows, behind it.
    pub fn shows(
        mut self,
        make: impl FnOnce(Screen) -> Arc<dyn Observer> + Send + 'static,
    ) -> Self {
        self.shows.push(Box::new(make));
        self
    }

    /// Who gets the lines that are typed while a turn runs.
    pub fn steering(mut self, steering: Arc<dyn Steering>) -> Self {
        self.steering = Some(steering);
        self
    }

    /// Notified when there is news for an idle agent; a `before_model` hook tells what.
    pub fn wake(mut self, wake: Arc<Notify>) -> Self {
        self.wakes.push(wake);
        self
    }

    /// A file of the workspace that has a say once the user has seen it: `:trust` shows it, and `take` takes
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

    /// Whether a line is a command as other programs have it: a path, or a prompt that begins with one, is not.
    pub(crate) fn has_as_slash(&self, line: &str) -> bool {
        let word = line.split_whitespace().next().and_then(|word| word.strip_prefix('/'));
        let known = |word| self.commands.iter().any(|command| command.name == word);
        word.is_some_and(|word| ["help", "exit", "quit", "clear"].contains(&word) || known(word))
    }

    /// What the user is told before the first prompt, a line each.
    pub fn tell(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.told.extend(lines);
        self
    }

    /// What begins once everything is installed, with the finished agent: whoever makes children for as long as
    /// the program runs makes them here, so that they have all that the agent has.
    pub fn at_start(mut self, start: impl FnOnce(&Agent) + Send + 'static) -> Self {
        self.at_start.push(Box::new(start));
        self
    }

    /// Begins: the agent is finished, and the program is ready for its first prompt.
    pub(crate) fn start(&mut self) {
        for start in std::mem::take(&mut self.at_start) {
            start(&self.chat.agent);
        }
        self.chat.agent.emit(&Event::SessionStarted);
    }

    /// What is done before the program leaves.
    pub fn at_exit<F>(mut self, last: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.at_exit.push(Box::new(move || Box::pin(last())));
        self
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("chat", &self.chat).finish_non_exhaustive()
    }
}
