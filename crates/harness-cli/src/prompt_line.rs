//! The prompt line: read a line, do what it asks for, and again.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use harness_app::{EXIT_INTERRUPTED, Line, RunningApp, Steering, SteeringOutcome, refusal};
use harness_core::host::text;
use harness_core::{AgentError, Prompt, TurnOutcome};
use tokio::time::{Instant, Interval, interval, interval_at};
use tokio_util::sync::CancellationToken;

use crate::input::{Input, Typed};
use crate::launch::with_causes;
use crate::screen::{DIM, Screen};
use crate::signals::{Asked, Signals, TURN_GRACE_PERIOD};

/// How often the spinner moves.
const TICK: Duration = Duration::from_millis(100);

/// The prompt line of one session.
pub(crate) struct PromptLine {
    pub(crate) app: RunningApp,
    pub(crate) input: Input,
    pub(crate) screen: Screen,
    pub(crate) signals: Signals,
    pub(crate) prompt: String,
    pub(crate) lines_during_turn: LinesDuringTurn,
    /// The play's prompts, one for each empty line; nothing in a session with a model.
    pub(crate) play: std::vec::IntoIter<String>,
}

/// What happens to the lines that come while a turn runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinesDuringTurn {
    /// They are read at once, and steer the turn or wait.
    Read,
    /// They stay where they are until the next prompt: the lines of a pipe wait by themselves.
    LeftInPipe,
}

/// What follows a line.
enum After {
    /// The next prompt.
    Prompt,
    /// The program leaves with this code.
    Leave(u8),
}

impl PromptLine {
    /// Runs until the user leaves. A session that is left is a success, whatever its turns met, unless what
    /// it had to say is lost.
    pub(crate) async fn run(mut self) -> ExitCode {
        self.app.enter();
        let code = self.read_lines().await;
        self.input.restore();
        self.screen.leave_prompt();
        if code != 0 {
            self.show_unsent_lines();
        }
        self.signals.unless_interrupted(self.app.leave()).await;
        let Err(lost) = self.screen.check() else { return ExitCode::from(code) };
        Screen::stderr().error(lost);
        ExitCode::from(code.max(1))
    }

    /// Nobody should have to type them again.
    fn show_unsent_lines(&self) {
        if let Some(steering) = self.app.steering() {
            self.input.keep_first(steering.take_undelivered());
        }
        while let Some(line) = self.input.take_ahead() {
            self.screen.styled_line(DIM, &format!("not sent: {line}"));
        }
    }

    /// Returns the exit code.
    async fn read_lines(&mut self) -> u8 {
        if let Some(prompt) = self.app.take_first_prompt()
            && let After::Leave(code) = self.turn(prompt).await
        {
            return code;
        }
        let mut prompt_is_open = false;
        let mut was_interrupted = false;
        loop {
            let typed = match self.next(&mut prompt_is_open).await {
                Next::Typed(typed) => typed,
                Next::News => match self.turn(Prompt::News).await {
                    After::Prompt => continue, // the prompt stayed open all the while
                    After::Leave(code) => return code,
                },
                Next::Leave(code) => return code,
            };
            prompt_is_open = false;
            let interrupted_before = was_interrupted;
            was_interrupted = typed == Typed::Interrupted;
            let after = match typed {
                Typed::End => {
                    self.screen.line("");
                    After::Leave(0)
                }
                Typed::Interrupted if interrupted_before || !self.input.is_terminal() => {
                    After::Leave(EXIT_INTERRUPTED)
                }
                Typed::Interrupted => {
                    self.screen.styled_line(DIM, "Ctrl-C again leaves");
                    After::Prompt
                }
                Typed::Line(line) => self.obey(&line).await,
            };
            if let After::Leave(code) = after {
                return code;
            }
        }
    }

    /// The next line, typed ahead or at the prompt, unless news or a signal comes first.
    async fn next(&mut self, prompt_is_open: &mut bool) -> Next {
        if !*prompt_is_open && let Some(line) = self.input.take_ahead() {
            self.screen.line(format!("{}{line}", self.prompt));
            return Next::Typed(Typed::Line(line));
        }
        if !*prompt_is_open {
            self.input.prompt(&self.prompt);
            *prompt_is_open = true;
        }
        tokio::select! {
            typed = self.input.next() => {
                self.echo(&typed);
                Next::Typed(typed)
            }
            () = self.app.wait_for_news() => Next::News,
            asked = self.signals.next() => match asked {
                Asked::Interrupt => Next::Typed(Typed::Interrupted),
                Asked::Leave(code) => Next::Leave(code),
            },
        }
    }

    /// A pipe has no echo: without this a log would show answers to nothing.
    fn echo(&self, typed: &Typed) {
        if let Typed::Line(line) = typed
            && !self.input.is_terminal()
        {
            self.screen.print(&format!("{}\n", text::strip(line)));
        }
    }

    /// Does what a line asks for.
    async fn obey(&mut self, line: &str) -> After {
        let parsed = match self.app.parse(line) {
            Ok(parsed) => parsed,
            Err(unknown) => {
                self.screen.error(unknown);
                return After::Prompt;
            }
        };
        match parsed {
            Line::Leave => After::Leave(0),
            Line::Help => {
                self.help();
                After::Prompt
            }
            Line::Command { name, args } => self.command(name, args).await,
            Line::Prompt(prompt) => self.turn(prompt.into()).await,
            Line::Blank => match self.play.next() {
                Some(prompt) => {
                    self.screen.line(format!("{}{prompt}", self.prompt));
                    self.turn(Prompt::Said(prompt)).await
                }
                None => After::Prompt,
            },
        }
    }

    async fn turn(&mut self, prompt: Prompt) -> After {
        self.input.watch();
        let steering = self.app.steering();
        let cancel = CancellationToken::new();
        let mut work = Box::pin(self.app.turn(prompt, &cancel));
        let mut tick = interval(TICK);
        let mut reads = self.lines_during_turn == LinesDuringTurn::Read;
        let ended = loop {
            tokio::select! {
                ended = &mut work => break ended,
                _ = tick.tick() => self.screen.tick(),
                asked = self.signals.next() => match asked {
                    Asked::Interrupt if cancel.is_cancelled() => {
                        return After::Leave(EXIT_INTERRUPTED);
                    }
                    Asked::Interrupt => cancel.cancel(),
                    Asked::Leave(code) => {
                        cancel.cancel();
                        // A turn that hangs all the same does not keep the program from leaving.
                        let _ = tokio::time::timeout(TURN_GRACE_PERIOD, &mut work).await;
                        return After::Leave(code);
                    }
                },
                typed = self.input.next(), if reads => match typed {
                    Typed::Line(line) => {
                        take_line(line, steering.as_deref(), &self.input, &self.screen);
                    }
                    Typed::Interrupted if cancel.is_cancelled() => {
                        return After::Leave(EXIT_INTERRUPTED);
                    }
                    Typed::Interrupted => cancel.cancel(),
                    Typed::End => reads = false,
                },
            }
        };
        drop(work);
        if let Some(steering) = steering {
            self.input.keep_first(steering.take_undelivered());
        }
        self.show_end(ended);
        After::Prompt
    }

    /// What a turn's display does not show: how it ended, if not with an answer.
    fn show_end(&self, ended: Result<TurnOutcome, AgentError>) {
        match ended {
            Ok(TurnOutcome::Answered(_)) => {}
            Ok(TurnOutcome::Refused(why)) => self.screen.error(refusal(&why)),
            Ok(TurnOutcome::Interrupted) => {
                self.screen.styled_line(DIM, "interrupted; the conversation goes on");
            }
            Err(error) => self.screen.error(text::strip(&error.to_string())),
        }
        self.screen.rest();
    }

    /// Runs a command. It may ask a model, and that can take a while: it shows, and Ctrl-C drops it.
    async fn command(&mut self, name: &str, args: &str) -> After {
        self.input.watch();
        let mut work = Box::pin(self.app.run_command(name, args));
        let mut reads = self.input.is_terminal();
        let mut tick: Interval = interval_at(Instant::now() + TICK, TICK);
        self.screen.spin(name);
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                _ = tick.tick() => self.screen.tick(),
                asked = self.signals.next() => match asked {
                    Asked::Interrupt => break Err(anyhow!("interrupted; nothing was changed")),
                    Asked::Leave(code) => return After::Leave(code),
                },
                typed = self.input.next(), if reads => match typed {
                    Typed::Line(line) if line.trim().is_empty() => {}
                    Typed::Line(line) => self.input.keep_ahead(line),
                    Typed::Interrupted => break Err(anyhow!("interrupted; nothing was changed")),
                    Typed::End => reads = false,
                },
            }
        };
        drop(work);
        self.screen.rest();
        match done {
            Ok(text) if text.is_empty() => {}
            Ok(text) => self.screen.line(text.trim_end()),
            Err(error) => self.screen.error(with_causes(&error)),
        }
        After::Prompt
    }

    fn help(&self) {
        self.screen.line("Type a prompt, or one of:");
        self.screen.line(self.app.help());
        self.screen.line("  q            leave (so do exit, quit and Ctrl-D)");
        self.screen.line("Ctrl-C stops a turn; a second one leaves.");
    }
}

/// What the open prompt brings.
enum Next {
    Typed(Typed),
    /// An idle agent has news.
    News,
    /// The system wants the program to leave, with this code.
    Leave(u8),
}

/// Takes a line that was typed while a turn runs.
fn take_line(line: String, steering: Option<&dyn Steering>, input: &Input, screen: &Screen) {
    screen.entered();
    // From a pipe an empty line may be the play's next prompt; at a terminal somebody is impatient.
    if line.trim().is_empty() && input.is_terminal() {
        return;
    }
    let outcome = match steering {
        Some(steering) => steering.typed(line),
        None => SteeringOutcome::Waits(line),
    };
    match outcome {
        SteeringOutcome::Taken(message) => screen.styled_line(DIM, &message),
        SteeringOutcome::Waits(line) => {
            if input.is_terminal() {
                screen.styled_line(DIM, &format!("waits as a next prompt: {line}"));
            }
            input.keep_ahead(line);
        }
    }
}
