//! From the command line to a running front: flags, the agent, the session's setup, and the exit code.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::error::{ContextKind, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser};
use harness_app::{
    App, Config, DotEnvSource, Lesson, OutputFormat, RunOptions, Settings, base_agent, places,
};
use harness_core::Agent;
use harness_core::host::text;

use crate::args::SharedFlags;
use crate::front::LineFront;
use crate::input::Input;
use crate::one_shot::{self, NoticesOnly};
use crate::prompt_line::{LinesDuringTurn, PromptLine};
use crate::say::Unsaid;
use crate::screen::{BOLD, DIM, Screen};
use crate::signals::Signals;
use crate::start;

/// The exit code of a program that failed.
const EXIT_FAILED: u8 = 1;
/// The exit code of a program that was called wrongly.
const EXIT_USAGE: u8 = 2;
/// How long the runtime may take to end.
const RUNTIME_SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

/// What somebody needs who has nothing but the program.
const INSTALLED_HELP: &str = "Start it in the folder that the agent is to work in, and type what it is to do. Put \
    ANTHROPIC_API_KEY=… into ~/.config/harness/.env; without a key a script plays, in a folder of its own.";

#[derive(Parser)]
struct Cli<X: Args> {
    #[command(flatten)]
    shared: SharedFlags,
    #[command(flatten)]
    own: X,
}

/// Runs a session from its command line to its exit code.
pub(crate) fn launch<X: Args, F: Into<LineFront>>(
    lesson: Lesson,
    source: DotEnvSource,
    setup: impl AsyncFnOnce(Agent, X, Config) -> Result<F>,
) -> ExitCode {
    let cli = match parse::<X>(&lesson, source) {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = runtime.context("cannot start").and_then(|runtime| {
        let outcome = runtime.block_on(run(lesson, source, cli, setup));
        // Its tasks are dropped, and what commands have left in the background ends with them. Whatever
        // still blocks in a thread is not waited for.
        runtime.shutdown_timeout(RUNTIME_SHUTDOWN_TIMEOUT);
        outcome
    });
    outcome.unwrap_or_else(|error| failed(&error))
}

fn parse<X: Args>(lesson: &Lesson, source: DotEnvSource) -> Result<Cli<X>, clap::Error> {
    let about = match source {
        DotEnvSource::Folder => lesson.motto.to_owned(),
        DotEnvSource::User => format!("{}\n\n{INSTALLED_HELP}", lesson.motto),
    };
    let command = Cli::<X>::command();
    let command = command.name(lesson.name).about(about).version(env!("CARGO_PKG_VERSION"));
    let matches = command.try_get_matches()?;
    let mut cli = Cli::<X>::from_arg_matches(&matches)?;
    cli.shared.subcommand = matches.subcommand_name().is_some();
    Ok(cli)
}

/// Prints what clap has to say: help, a version, or what is wrong with the flags.
fn explain(error: &clap::Error) -> ExitCode {
    let printed = error.print().map_err(Unsaid);
    if is_a_word(error) {
        Screen::stderr().line("A prompt goes behind -p, or is typed at the prompt line.");
    }
    if error.use_stderr() {
        return ExitCode::from(EXIT_USAGE);
    }
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(unsaid) => failed(&unsaid.into()),
    }
}

/// What clap does not know is a word, and no flag: most likely it was meant for the model.
fn is_a_word(error: &clap::Error) -> bool {
    if !matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument) {
        return false;
    }
    let subcommand = error.get(ContextKind::InvalidSubcommand);
    let unknown = subcommand.or_else(|| error.get(ContextKind::InvalidArg));
    unknown.is_some_and(|unknown| !unknown.to_string().starts_with('-'))
}

/// Says why the program ends, and returns its exit code. That nobody reads its output is no failure.
fn failed(error: &anyhow::Error) -> ExitCode {
    if error.downcast_ref().is_some_and(Unsaid::nobody_reads) {
        return ExitCode::SUCCESS;
    }
    Screen::stderr().error(with_causes(error));
    ExitCode::from(if error.is::<UsageError>() { EXIT_USAGE } else { EXIT_FAILED })
}

/// An error and what caused it, without causes that its own words name already.
pub(crate) fn with_causes(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if message.is_empty() {
            message = cause;
        } else if !message.contains(&cause) {
            message += &format!(": {cause}");
        }
    }
    message
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

async fn run<X: Args, F: Into<LineFront>>(
    lesson: Lesson,
    source: DotEnvSource,
    Cli { shared: flags, own }: Cli<X>,
    setup: impl AsyncFnOnce(Agent, X, Config) -> Result<F>,
) -> Result<ExitCode> {
    let folder = std::env::current_dir().context("the current directory is gone")?;
    let settings = Settings::load(source, &folder).map_err(|e| UsageError(format!("{e:#}")))?;
    let screen = if flags.prompt.is_some() { Screen::stderr() } else { Screen::stdout() };
    if flags.human && flags.prompt.as_deref() == Some("-") {
        let why = "--human reads standard input itself: give the prompt after -p";
        return Err(UsageError(why.to_owned()).into());
    }
    // A subcommand ends by signals as any program does.
    let signals = if flags.subcommand { None } else { Some(Signals::new()?) };
    let has_prompt_line = flags.prompt.is_none() && !flags.subcommand;
    let input = if has_prompt_line || flags.human {
        Some(Input::start(screen.clone(), places::prompt_history())?)
    } else {
        None
    };
    let choice = start::choose_model(&lesson, &flags, &settings, input.as_ref(), &screen)?;
    let play = choice.play.as_ref().filter(|_| !flags.subcommand);
    let workspace = start::workspace(&lesson, &flags, play).await?;

    let person = input.as_ref().filter(|input| input.is_terminal() && flags.prompt.is_none());
    let options = RunOptions { attended: person.is_some(), ..flags.run_options() };
    let config = Config::new(options, settings.clone());
    let mut agent = base_agent(&choice, workspace.folder.clone(), settings.secrets());
    agent.max_steps = flags.max_steps as usize;
    agent.gate = start::gate(&flags, &config, person, &screen)?;
    let front: LineFront = setup(agent, own, config).await?.into();
    if let Some(code) = front.app.exit_code() {
        return Ok(code);
    }

    let mut notices = choice.notices;
    notices.push(workspace.notice());
    notices.push(front.app.agent().gate.policy.told().to_owned());
    let program = Program {
        lesson,
        human: flags.human,
        notices,
        prompts: choice.play.map(|play| play.prompt).unwrap_or_default(),
        screen,
        signals: signals.map_or_else(Signals::new, Ok)?,
    };
    if let Some(given) = &flags.prompt {
        return program.answer(front, given, flags.output_format()).await;
    }
    let Some(input) = input else { bail!("there is no input to read prompts from") };
    program.converse(front, input).await
}

/// A session that is ready to be shown.
struct Program {
    lesson: Lesson,
    human: bool,
    /// What the user is told first: the model, the workspace, the policy.
    notices: Vec<String>,
    /// The play's prompts.
    prompts: Vec<String>,
    screen: Screen,
    signals: Signals,
}

impl Program {
    /// `-p`.
    async fn answer(self, front: LineFront, given: &str, format: OutputFormat) -> Result<ExitCode> {
        let mut prompt = one_shot::prompt(given)?;
        if prompt.trim().is_empty() {
            prompt = self.prompts.first().cloned().unwrap_or_default();
        }
        if prompt.is_empty() {
            let why = "-p needs a prompt: a text after it, or standard input";
            return Err(UsageError(why.to_owned()).into());
        }
        let app = if format == OutputFormat::Text {
            let mut app = front.displayed_on(&self.screen);
            self.show_notices(&mut app);
            app
        } else {
            front.app.viewer(NoticesOnly::new(&self.screen))
        };
        one_shot::run(app, prompt, format, self.screen, self.signals).await
    }

    /// The prompt line.
    async fn converse(self, front: LineFront, input: Input) -> Result<ExitCode> {
        let mut app = front.displayed_on(&self.screen);
        let notices = app.take_notices();
        let app = app.start()?;
        let title = format!("{} · {}", self.lesson.short(), self.lesson.motto);
        self.screen.styled_line(BOLD, &title);
        self.show_lines(&notices);
        if let Some(prompt) = self.prompts.first() {
            // Not cut to the width: this is the line a newcomer needs.
            self.screen.styled(DIM, &format!("press Enter to send: {prompt}"));
            self.screen.end_line();
        }
        self.screen.styled_line(DIM, ":help lists the commands, q leaves");
        let steers = app.steering().is_some() && !self.human;
        let lines_during_turn = if input.is_terminal() || steers {
            LinesDuringTurn::Read
        } else {
            LinesDuringTurn::LeftInPipe
        };
        let prompt_line = PromptLine {
            app,
            input,
            screen: self.screen,
            signals: self.signals,
            prompt: format!("{} >> ", self.lesson.short()),
            lines_during_turn,
            play: self.prompts.into_iter(),
        };
        Ok(prompt_line.run().await)
    }

    fn show_notices(&self, app: &mut App) {
        self.show_lines(&app.take_notices());
    }

    /// The program's own lines, then the session's. These may hold a path or a fault: they are shown whole,
    /// however long.
    fn show_lines(&self, session: &[String]) {
        for line in &self.notices {
            self.screen.styled_lines(DIM, line);
        }
        for line in session {
            self.screen.end_line();
            self.screen.styled(DIM, &text::strip(line));
            self.screen.end_line();
        }
    }
}
