//! `-p`: one prompt from the command line. Standard output is for the answer alone.

use std::io::{IsTerminal, Read, stderr, stdin, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use harness_app::{App, OneShot, OneShotOutcome, OutputFormat};
use harness_core::host::text;
use harness_core::{Event, Observer};

use crate::say::{Unsaid, say};
use crate::screen::Screen;
use crate::signals::{Asked, Signals, TURN_GRACE_PERIOD};

/// The prompt of `-p`: the text itself, or all of standard input.
pub(crate) fn prompt(given: &str) -> Result<String> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut bytes = Vec::new();
    stdin().read_to_end(&mut bytes).context("cannot read the prompt from standard input")?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Runs one turn and writes what the format asks for. What is displayed meanwhile goes to `screen`, which is
/// standard error.
pub(crate) async fn run(
    app: App,
    prompt: String,
    format: OutputFormat,
    screen: Screen,
    mut signals: Signals,
) -> Result<ExitCode> {
    // A line that cannot be written is no reason to stop: the last one says whether the answer got through.
    let write_line = |line: &str| drop(say(line));
    let mut one_shot = OneShot::start(app, format, write_line)?;
    let killed = run_turn(&mut one_shot, prompt, &screen, &mut signals).await;
    screen.rest();
    let outcome = one_shot.outcome();
    let mut code = killed.unwrap_or(outcome.exit_code);
    if let Err(unsaid) = write(outcome, &screen)
        && !unsaid.nobody_reads()
    {
        // A reader that went away (`| head`) has what it wanted; a full disk has lost the answer.
        screen.error(format!("the answer is lost: {unsaid}"));
        code = code.max(1);
    }
    signals.unless_interrupted(one_shot.leave()).await;
    Ok(ExitCode::from(code))
}

/// Returns the exit code if the system made the program leave.
async fn run_turn(
    one_shot: &mut OneShot,
    prompt: String,
    screen: &Screen,
    signals: &mut Signals,
) -> Option<u8> {
    let cancel = one_shot.cancellation();
    let mut turn = Box::pin(one_shot.run(prompt));
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            () = &mut turn => return None,
            _ = tick.tick() => screen.tick(),
            asked = signals.next() => match asked {
                Asked::Interrupt if cancel.is_cancelled() => return None,
                Asked::Interrupt => cancel.cancel(),
                Asked::Leave(code) => {
                    cancel.cancel();
                    // A turn that hangs all the same does not keep the program from leaving.
                    let _ = tokio::time::timeout(TURN_GRACE_PERIOD, &mut turn).await;
                    return Some(code);
                }
            },
        }
    }
}

fn write(outcome: OneShotOutcome, screen: &Screen) -> Result<(), Unsaid> {
    if let Some(error) = outcome.error {
        screen.error(error);
    }
    // Where both streams go to one screen, what the model said stands there already.
    let is_shown = outcome.was_streamed && stdout().is_terminal() && stderr().is_terminal();
    match outcome.output {
        Some(output) if !is_shown => say(output),
        _ => Ok(()),
    }
}

/// Shows notices alone: beside a report in JSON, for the person who reads standard error.
pub(crate) struct NoticesOnly(pub(crate) Screen);

impl NoticesOnly {
    pub(crate) fn new(screen: &Screen) -> Arc<Self> {
        Arc::new(Self(screen.clone()))
    }
}

impl Observer for NoticesOnly {
    fn on(&self, _: &str, event: &Event) {
        if let Event::Notice(sentence) = event {
            self.0.line(text::strip(sentence));
        }
    }
}
