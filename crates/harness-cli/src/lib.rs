//! The terminal that every session shares: flags, prompt line, display, approver, plays.
//!
//! A session's `main.rs` is one call:
//!
//! ```no_run
//! # struct Plan;
//! # impl harness_core::Mechanism for Plan { fn install(self, _: &mut harness_core::Agent) {} }
//! # const LESSON: harness_cli::Lesson = harness_cli::Lesson { name: "s00_x", motto: "", play: "" };
//! fn main() -> std::process::ExitCode {
//!     harness_cli::main(LESSON, async |agent| Ok(agent.with(Plan)))
//! }
//! ```
//!
//! What a session may add beside its agent (commands, flags, another display …) is in [`App`].

mod app;
mod approve;
mod args;
mod config;
mod display;
mod human;
mod input;
mod lesson;
mod mail;
mod oneshot;
mod playground;
mod reader;
mod repl;
mod rules;
mod say;
mod screen;
mod settings;
mod start;
mod tasks;
mod trusted;
mod wide;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::error::{ContextKind, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use harness_core::Agent;
use harness_core::host::text;
use harness_core::tool::builtin;

pub use app::{App, Heard, Steering, remind_of_surroundings};
pub use approve::AskPerson;
pub use args::{OutputFormat, Shared};
pub use config::Config;
pub use display::{Display, title};
pub use human::Human;
pub use input::{Ahead, Input, Typed};
pub use lesson::Lesson;
pub use mail::MailCommand;
pub use repl::until_asked_to_leave;
pub use say::{Unsaid, say};
pub use screen::{BOLD, CYAN, DIM, RED, Screen, age, columns, size, width};
pub use tasks::{Bars, Done, TaskFlags, Tasks};
pub use trusted::{Given, WorkspaceFile};
pub use wide::{cut, fill, wide};

use crate::repl::{Repl, Signals};
use crate::settings::{DotEnv, Settings};

/// The exit code of a program that was called wrongly.
const USAGE: u8 = 2;
/// What the end of the runtime may take.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// What somebody needs who has nothing but the program.
const INSTALLED: &str = "Start it in the folder that the agent is to work in, and type what it is to do. Put \
    ANTHROPIC_API_KEY=… into ~/.config/harness/.env; without a key a script plays, in a folder of its own.";

#[derive(Parser)]
struct Cli<X: Args> {
    #[command(flatten)]
    shared: Shared,
    #[command(flatten)]
    own: X,
}

/// No flags of its own.
#[derive(Args, Clone, Copy, Debug)]
pub struct NoFlags {}

/// Subcommands and no flags of its own, for [`main_with`].
#[derive(Args, Clone, Copy, Debug)]
pub struct Commands<C: Subcommand> {
    /// The one that was given.
    #[command(subcommand)]
    pub command: Option<C>,
}

/// Runs a session: reads flags and `.env`, builds the agent, lets the session install its mechanism,
/// and runs the prompt line, or the one prompt of `-p`.
pub fn main<A: Into<App>>(lesson: Lesson, setup: impl AsyncFnOnce(Agent) -> Result<A>) -> ExitCode {
    main_with(lesson, async |agent, _: NoFlags| setup(agent).await)
}

/// The same for a session that has flags or subcommands of its own.
pub fn main_with<X: Args, A: Into<App>>(
    lesson: Lesson,
    setup: impl AsyncFnOnce(Agent, X) -> Result<A>,
) -> ExitCode {
    main_with_config(lesson, async |agent, own, _| setup(agent, own).await)
}

/// The same for a session that also has a file of configuration.
pub fn main_with_config<X: Args, A: Into<App>>(
    lesson: Lesson,
    setup: impl AsyncFnOnce(Agent, X, Config) -> Result<A>,
) -> ExitCode {
    launch(lesson, DotEnv::Folder, setup)
}

/// The same for a program that is installed and started anywhere: key and server come from the user's own
/// `~/.config/harness/.env` and from the environment, never from the folder it is started in.
pub fn main_installed<X: Args, A: Into<App>>(
    lesson: Lesson,
    setup: impl AsyncFnOnce(Agent, X, Config) -> Result<A>,
) -> ExitCode {
    launch(lesson, DotEnv::User, setup)
}

fn launch<X: Args, A: Into<App>>(
    lesson: Lesson,
    whose: DotEnv,
    setup: impl AsyncFnOnce(Agent, X, Config) -> Result<A>,
) -> ExitCode {
    let about = match whose {
        DotEnv::Folder => lesson.motto.to_owned(),
        DotEnv::User => format!("{}\n\n{INSTALLED}", lesson.motto),
    };
    let command =
        Cli::<X>::command().name(lesson.name).about(about).version(env!("CARGO_PKG_VERSION"));
    let parsed = command.try_get_matches().and_then(|matches| {
        let mut cli = Cli::<X>::from_arg_matches(&matches)?;
        cli.shared.subcommand = matches.subcommand_name().is_some();
        Ok(cli)
    });
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let unsaid = error.print().map_err(Unsaid);
            if is_a_word(&error) {
                Screen::stderr().line("A prompt goes behind -p, or is typed at the prompt line.");
            }
            return match error.use_stderr() {
                true => ExitCode::from(USAGE),
                false => {
                    unsaid.map_or_else(|unsaid| failed(&unsaid.into()), |()| ExitCode::SUCCESS)
                }
            };
        }
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = runtime.context("cannot start").and_then(|runtime| {
        let outcome = runtime.block_on(run(lesson, whose, cli.shared, cli.own, setup));
        // Its tasks are dropped, and what commands have left in the background ends with them. Whatever
        // still blocks in a thread is not waited for.
        runtime.shutdown_timeout(LAST_MOMENT);
        outcome
    });
    outcome.unwrap_or_else(|error| failed(&error))
}

/// Tells why the program ends, and says so in its exit code. That nobody reads its output is no failure.
fn failed(error: &anyhow::Error) -> ExitCode {
    if error.downcast_ref().is_some_and(Unsaid::nobody_reads) {
        return ExitCode::SUCCESS;
    }
    Screen::stderr().error(told(error));
    ExitCode::from(if error.is::<UsageError>() { USAGE } else { 1 })
}

/// An error with what caused it, but for causes that its own words name already.
pub(crate) fn told(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told += &format!(": {cause}");
        }
    }
    told
}

/// What clap does not know is a word, and no flag: most likely it was meant for the model.
fn is_a_word(error: &clap::Error) -> bool {
    let unknown = [ContextKind::InvalidSubcommand, ContextKind::InvalidArg];
    let unknown = unknown.into_iter().find_map(|kind| error.get(kind));
    matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument)
        && unknown.is_some_and(|it| !it.to_string().starts_with('-'))
}

/// The program was called with something it cannot use.
#[derive(Debug)]
struct UsageError(String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

async fn run<X, A: Into<App>>(
    lesson: Lesson,
    whose: DotEnv,
    args: Shared,
    own: X,
    setup: impl AsyncFnOnce(Agent, X, Config) -> Result<A>,
) -> Result<ExitCode> {
    let start = std::env::current_dir().context("the current directory is gone")?;
    let settings = Settings::load(whose, &start).map_err(|e| UsageError(format!("{e:#}")))?;
    let screen = if args.prompt.is_some() { Screen::stderr() } else { Screen::stdout() };
    if args.human && args.prompt.as_deref() == Some("-") {
        let why = "--human reads standard input itself: give the prompt after -p";
        return Err(UsageError(why.to_owned()).into());
    }
    // A subcommand ends by signals as any program does.
    let signals = if args.subcommand { None } else { Some(Signals::new()?) };
    let input = match args.prompt.is_none() && !args.subcommand || args.human {
        true => Some(Input::start(screen.clone(), history())?),
        false => None,
    };
    let speaker = start::speaker(&lesson, &args, &settings, input.as_ref(), &screen)?;
    let play = speaker.play.as_ref().filter(|_| !args.subcommand);
    let (cwd, place) = start::workspace(&lesson, &args, play).await?;

    let mut agent = Agent::new(speaker.model, cwd.clone());
    agent.model_id = speaker.model_id;
    agent.max_steps = args.max_steps as usize;
    agent.secrets = settings.secrets();
    agent.system.push_for_family(SYSTEM);
    agent.tools = builtin::all();
    let person = input.as_ref().filter(|input| input.is_terminal() && args.prompt.is_none());
    let config = Config::new(&args, &settings, person.is_some());
    agent.gate = rules::gate(&args, &config, person, &screen)?;

    let mut app: App = setup(agent, own, config).await?.into();
    if let Some(code) = app.exit {
        return Ok(code);
    }
    let signals = signals.map_or_else(Signals::new, Ok)?;
    if let [clash, ..] = app.chat.agent.tools.clashes() {
        bail!("two tools are called `{clash}`; rename one of them");
    }
    if !app.trusted.is_empty() {
        let files = std::mem::take(&mut app.trusted);
        let about = "shows a file of the workspace that waits for your yes, and lets it count";
        app = app.quick("trust", about, move |_, hash| trusted::agree(&files, hash));
    }
    for (place, command) in app.commands.iter().enumerate() {
        if app.commands[..place].iter().any(|other| other.name == command.name) {
            bail!("two commands are called `:{}`; rename one of them", command.name);
        }
    }
    let quiet = args.prompt.is_some() && args.output_format != OutputFormat::Text;
    if !quiet {
        let observers = &mut app.chat.agent.observers;
        match app.display.take() {
            Some(make) => observers.add_for_family(make(screen.clone())),
            None => {
                let lead = app.chat.agent.name.clone();
                observers.add_for_family(Arc::new(Display::new(screen.clone(), lead)));
            }
        }
        app.shows.drain(..).for_each(|make| observers.add_for_family(make(screen.clone())));
    }
    let prompts = speaker.play.map(|play| play.prompt).unwrap_or_default();
    let mut told = speaker.told;
    told.push(format!("working in {}{place}", cwd.display()));
    told.push(app.chat.agent.gate.policy.told().to_owned());
    remind_of_surroundings(&mut app.chat);
    if let Some(given) = &args.prompt {
        let mut prompt = oneshot::prompt(given)?;
        if prompt.trim().is_empty() {
            prompt = prompts.first().cloned().unwrap_or_default();
        }
        if prompt.is_empty() {
            return Err(UsageError(
                "-p needs a prompt: a text after it, or standard input".to_owned(),
            )
            .into());
        }
        if !quiet {
            told.iter().for_each(|line| screen.styled_lines(DIM, line));
            app.told.iter().for_each(|line| tell(&screen, line));
        }
        return oneshot::run(app, prompt, args.output_format, screen, signals).await;
    }
    let Some(input) = input else { bail!("there is no input to read prompts from") };
    screen.styled_line(BOLD, &format!("{} · {}", lesson.short(), lesson.motto));
    told.iter().for_each(|line| screen.styled_lines(DIM, line));
    app.told.iter().for_each(|line| tell(&screen, line));
    if let Some(prompt) = prompts.first() {
        // Not cut to the width: this is the line a newcomer needs.
        screen.styled(DIM, &format!("press Enter to send: {prompt}"));
        screen.end_line();
    }
    screen.styled_line(DIM, ":help lists the commands, q leaves");
    let prompt = format!("{} >> ", lesson.short());
    let hears = input.is_terminal() || (app.steering.is_some() && !args.human);
    Ok(Repl { hears, app, input, screen, signals, prompt, play: prompts.into_iter() }.run().await)
}

/// What a session has to tell may hold a path or a fault: it is shown whole, however long.
fn tell(screen: &Screen, line: &str) {
    screen.end_line();
    screen.styled(DIM, &text::strip(line));
    screen.end_line();
}

/// Stable for every session and every day, so that a prompt cache can hold it.
const SYSTEM: &str = "You are a coding agent. You work in the user's workspace, with the tools you have: \
    look before you change something, make small changes, and check what you did by running it. Paths are \
    relative to the workspace. A refusal or an error of a tool is an answer: find another way or say what is \
    missing. Text inside <system-reminder> comes from the program you run in, not from the user. When the \
    work is done, say in a few plain sentences what you did.";

/// Where the prompt line keeps what was typed.
fn history() -> Option<PathBuf> {
    let folder = settings::home()?;
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}
