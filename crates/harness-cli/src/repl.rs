//! The prompt line: read, run a turn, and again.

use std::process::ExitCode;
use std::time::Duration;

use futures_util::future::select_all;
use harness_core::host::text;
use harness_core::{Event, Next, Prompt, TurnOutcome};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::{App, Heard};
use crate::input::{Input, Typed};
use crate::oneshot::declined;
use crate::screen::{DIM, Screen};

/// The exit code of a program that was interrupted.
pub(crate) const INTERRUPTED: u8 = 130;

/// How long a turn may take to end when the program has to leave.
pub(crate) const LAST: Duration = Duration::from_secs(2);

/// The signals that end a turn or the program.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    quit: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Ctrl-C: stop the turn.
    Interrupt,
    /// The system wants the program to leave; the number is the exit code.
    Leave(u8),
}

impl Signals {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Safe to drop half-way.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Interrupt,
            _ = self.terminate.recv() => Asked::Leave(143),
            _ = self.hangup.recv() => Asked::Leave(129),
            _ = self.quit.recv() => Asked::Leave(131),
        }
    }
}

/// For a subcommand that works until it is told to stop: cancelled by the first signal that asks the program
/// to leave. Without this such a signal ends it at once.
///
/// # Errors
/// The system gives no signals.
pub fn until_asked_to_leave() -> std::io::Result<CancellationToken> {
    let (mut signals, cancel) = (Signals::new()?, CancellationToken::new());
    let asked = cancel.clone();
    tokio::spawn(async move {
        signals.next().await;
        asked.cancel();
    });
    Ok(cancel)
}

/// The prompt line of one session.
pub(crate) struct Repl {
    pub(crate) app: App,
    pub(crate) input: Input,
    pub(crate) screen: Screen,
    pub(crate) signals: Signals,
    pub(crate) prompt: String,
    /// Whether lines are taken while a turn runs: always from a terminal; from a pipe only for steering,
    /// since its lines wait by themselves.
    pub(crate) hears: bool,
    /// The play's prompts, one for each empty line; nothing in a session with a model.
    pub(crate) play: std::vec::IntoIter<String>,
}

impl Repl {
    /// Runs until the user leaves. A session that is left is a success, whatever its turns met, unless what
    /// it had to say is lost.
    pub(crate) async fn run(mut self) -> ExitCode {
        self.app.start();
        let code = self.lines().await;
        self.app.chat.agent.emit(&Event::SessionEnded);
        self.input.restore();
        self.screen.leave_prompt();
        if code != 0 {
            // Whoever typed them should not have to type them again.
            let left = self.app.steering.as_ref().map(|it| it.left()).unwrap_or_default();
            self.input.keep_first(left);
            while let Some(line) = self.input.take_ahead() {
                self.screen.styled_line(DIM, &format!("not sent: {line}"));
            }
        }
        leave(&mut self.app, &mut self.signals).await;
        let Err(lost) = self.screen.check() else { return ExitCode::from(code) };
        Screen::stderr().error(lost);
        ExitCode::from(code.max(1))
    }

    async fn lines(&mut self) -> u8 {
        if std::mem::take(&mut self.app.begins)
            && let Some(code) = self.turn(Prompt::News).await
        {
            return code;
        }
        let (mut open, mut interrupted_before) = (false, false);
        loop {
            let ahead = if open { None } else { self.input.take_ahead() };
            let typed = if let Some(line) = ahead {
                self.screen.line(format!("{}{line}", self.prompt));
                Typed::Line(line)
            } else {
                if !open {
                    self.input.prompt(&self.prompt);
                    open = true;
                }
                tokio::select! {
                    typed = self.input.next() => self.echoed(typed),
                    () = woken(&self.app) => {
                        if let Some(code) = self.turn(Prompt::News).await {
                            return code;
                        }
                        continue; // the prompt stayed open all the while
                    }
                    asked = self.signals.next() => match asked {
                        Asked::Interrupt => Typed::Interrupted,
                        Asked::Leave(code) => return code,
                    },
                }
            };
            open = false;
            let interrupted =
                std::mem::replace(&mut interrupted_before, typed == Typed::Interrupted);
            match typed {
                Typed::End => {
                    self.screen.line("");
                    return 0;
                }
                Typed::Interrupted if interrupted || !self.input.is_terminal() => {
                    return INTERRUPTED;
                }
                Typed::Interrupted => self.screen.styled_line(DIM, "Ctrl-C again leaves"),
                Typed::Line(line) => match line.trim() {
                    "q" | "exit" | "quit" | ":q" | ":exit" | ":quit" => return 0,
                    "" => {
                        if let Some(prompt) = self.play.next() {
                            self.screen.line(format!("{}{prompt}", self.prompt));
                            if let Some(code) = self.turn(Prompt::Said(prompt)).await {
                                return code;
                            }
                        }
                    }
                    command if command.starts_with(':') => {
                        if let Some(code) = self.command(command).await {
                            return code;
                        }
                    }
                    command if self.app.has_as_slash(command) => {
                        let why = "commands begin with a colon here; :help lists them";
                        self.screen.error(format!("{command}: {why}"));
                    }
                    prompt => {
                        if let Some(code) = self.turn(prompt.into()).await {
                            return code;
                        }
                    }
                },
            }
        }
    }

    /// A pipe has no echo: without this a log would show answers to nothing.
    fn echoed(&self, typed: Typed) -> Typed {
        if let (Typed::Line(line), false) = (&typed, self.input.is_terminal()) {
            self.screen.print(&format!("{}\n", text::strip(line)));
        }
        typed
    }

    /// One turn. `Some`: the program is to leave with this code.
    async fn turn(&mut self, prompt: Prompt) -> Option<u8> {
        let App { chat, layers, steering, .. } = &mut self.app;
        if let Prompt::Said(prompt) = &prompt {
            chat.agent.emit(&Event::Prompt(prompt.clone()));
        }
        self.input.watch();
        let cancel = CancellationToken::new();
        let mut work = Box::pin(Next::through(layers).turn(prompt, chat, &cancel));
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        let mut hears = self.hears;
        let ended = loop {
            tokio::select! {
                ended = &mut work => break ended,
                _ = tick.tick() => self.screen.tick(),
                asked = self.signals.next() => match asked {
                    Asked::Interrupt if cancel.is_cancelled() => return Some(INTERRUPTED),
                    Asked::Interrupt => cancel.cancel(),
                    Asked::Leave(code) => {
                        cancel.cancel();
                        // What hangs all the same does not keep the program from leaving.
                        let _ = tokio::time::timeout(LAST, &mut work).await;
                        return Some(code);
                    }
                },
                typed = self.input.next(), if hears => match typed {
                    // From a pipe an empty line may be the play's next prompt; here somebody is impatient.
                    Typed::Line(line) if line.trim().is_empty() && self.input.is_terminal() => {
                        self.screen.entered();
                    }
                    Typed::Line(line) => {
                        self.screen.entered();
                        let heard = match steering {
                            Some(steering) => steering.typed(line),
                            None => Heard::Waits(line),
                        };
                        match heard {
                            Heard::Taken(told) => self.screen.styled_line(DIM, &told),
                            Heard::Waits(line) => {
                                if self.input.is_terminal() {
                                    let told = format!("waits as a next prompt: {line}");
                                    self.screen.styled_line(DIM, &told);
                                }
                                self.input.keep_ahead(line);
                            }
                        }
                    }
                    Typed::Interrupted if cancel.is_cancelled() => return Some(INTERRUPTED),
                    Typed::Interrupted => cancel.cancel(),
                    Typed::End => hears = false,
                },
            }
        };
        drop(work);
        if let Some(steering) = steering {
            self.input.keep_first(steering.left());
        }
        match ended {
            Ok(TurnOutcome::Answered(_)) => {}
            Ok(TurnOutcome::Refused(why)) => self.screen.error(declined(&why)),
            Ok(TurnOutcome::Interrupted) => {
                self.screen.styled_line(DIM, "interrupted; the conversation goes on")
            }
            Err(error) => self.screen.error(text::strip(&error.to_string())),
        }
        self.screen.rest();
        None
    }

    /// A command. `Some`: the program is to leave with this code.
    async fn command(&mut self, line: &str) -> Option<u8> {
        let (name, args) = line[1..].split_once(char::is_whitespace).unwrap_or((&line[1..], ""));
        if name == "help" {
            self.help();
            return None;
        }
        let App { chat, commands, .. } = &mut self.app;
        let Some(command) = commands.iter().find(|command| command.name == name) else {
            let names = commands.iter().map(|command| command.name).chain(["help"]);
            let near = text::nearest(name, names);
            let near = match near.first() {
                Some(near) => format!("did you mean :{near}? "),
                None => String::new(),
            };
            self.screen.error(format!("there is no command :{name}; {near}:help lists them"));
            return None;
        };
        // It may ask a model, and that can take a while: it shows, and Ctrl-C drops it.
        self.input.watch();
        let mut work = (command.run)(chat, args.trim());
        let interrupted = || Err(anyhow::anyhow!("interrupted; nothing was changed"));
        let mut hears = self.input.is_terminal();
        let moment = Duration::from_millis(100);
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + moment, moment);
        self.screen.spin(name);
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                _ = tick.tick() => self.screen.tick(),
                asked = self.signals.next() => match asked {
                    Asked::Interrupt => break interrupted(),
                    Asked::Leave(code) => return Some(code),
                },
                typed = self.input.next(), if hears => match typed {
                    Typed::Line(line) if line.trim().is_empty() => {}
                    Typed::Line(line) => self.input.keep_ahead(line),
                    Typed::Interrupted => break interrupted(),
                    Typed::End => hears = false,
                },
            }
        };
        drop(work);
        self.screen.rest();
        match done {
            Ok(text) if text.is_empty() => {}
            Ok(text) => self.screen.line(text.trim_end()),
            Err(error) => self.screen.error(crate::told(&error)),
        }
        None
    }

    fn help(&self) {
        self.screen.line("Type a prompt, or one of:");
        for command in &self.app.commands {
            self.screen.line(format!("  :{:<12} {}", command.name, command.about));
        }
        self.screen.line("  :help        this list");
        self.screen.line("  q            leave (so do exit, quit and Ctrl-D)");
        self.screen.line("Ctrl-C stops a turn; a second one leaves.");
    }
}

/// Does what is to be done before the program leaves. One more Ctrl-C does not wait for it.
pub(crate) async fn leave(app: &mut App, signals: &mut Signals) {
    let last = async {
        for last in std::mem::take(&mut app.at_exit) {
            last().await;
        }
    };
    let interrupted = async { while signals.next().await != Asked::Interrupt {} };
    tokio::select! {
        () = last => {}
        () = interrupted => {}
    }
}

/// Waits for whoever has news.
async fn woken(app: &App) {
    let wakes: Vec<_> = app.wakes.iter().map(|wake| Box::pin(wake.notified())).collect();
    match wakes.is_empty() {
        true => std::future::pending().await,
        false => drop(select_all(wakes).await),
    }
}
