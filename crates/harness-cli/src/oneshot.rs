//! `-p`: one prompt, one answer, an exit code. Standard output is for the answer alone.

use std::io::{IsTerminal, Read, stderr, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use harness_core::host::text;
use harness_core::model::models;
use harness_core::{
    AgentError, Decision, Event, Message, Mutex, Next, Observer, Prompt, Role, Secrets,
    TurnOutcome, Usage,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::args::OutputFormat;
use crate::repl::{Asked, INTERRUPTED, LAST, Signals, leave};
use crate::say::{self, Unsaid};
use crate::screen::Screen;

/// The prompt of `-p`: the text itself, or all of standard input.
pub(crate) fn prompt(given: &str) -> Result<String> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut bytes = Vec::new();
    std::io::stdin()
        .read_to_end(&mut bytes)
        .context("cannot read the prompt from standard input")?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Runs one turn and prints what the format asks for.
pub(crate) async fn run(
    mut app: App,
    prompt: String,
    format: OutputFormat,
    screen: Screen,
    mut signals: Signals,
) -> Result<ExitCode> {
    let start = Instant::now();
    let report = Arc::new(Report {
        stream: format == OutputFormat::StreamJson,
        model_id: app.chat.agent.model_id.clone(),
        secrets: app.chat.agent.secrets.clone(),
        sums: Mutex::default(),
    });
    app.chat.agent.observers.add_for_family(report.clone());
    app.start();
    if report.stream {
        let tools: Vec<String> =
            app.chat.agent.tools.specs().iter().map(|t| t.name.clone()).collect();
        let (model, cwd) = (&app.chat.agent.model_id, app.chat.agent.cwd.to_string_lossy());
        let _ = report.print(&json!({"type": "system", "subtype": "init", "model": model, "cwd": cwd, "tools": tools}));
    }
    app.chat.agent.emit(&Event::Prompt(prompt.clone()));
    let cancel = CancellationToken::new();
    let next = Next::through(&app.layers);
    let mut work = Box::pin(next.turn(Prompt::Said(prompt), &mut app.chat, &cancel));
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(100));
    let mut leaves = None;
    let ended = loop {
        tokio::select! {
            ended = &mut work => break ended,
            _ = tick.tick() => screen.tick(),
            asked = signals.next() => match asked {
                Asked::Interrupt if cancel.is_cancelled() => break Ok(TurnOutcome::Interrupted),
                Asked::Interrupt => cancel.cancel(),
                Asked::Leave(code) => {
                    cancel.cancel();
                    leaves = Some(code);
                    let ended = tokio::time::timeout(LAST, &mut work).await;
                    break ended.unwrap_or(Ok(TurnOutcome::Interrupted));
                }
            },
        }
    };
    drop(work);
    screen.rest();
    app.chat.agent.emit(&Event::SessionEnded);
    let (code, subtype, said) = match ended {
        // A turn that waited behind its answer for what runs in the background is not over by itself.
        Ok(TurnOutcome::Answered(answer)) if !cancel.is_cancelled() => (0, "success", answer),
        Ok(TurnOutcome::Refused(why)) => (4, "refused", why),
        Ok(TurnOutcome::Answered(_) | TurnOutcome::Interrupted) => {
            (INTERRUPTED, "interrupted", "interrupted".to_owned())
        }
        Err(e @ AgentError::TooManySteps(_)) => (3, "error_max_turns", e.to_string()),
        Err(e) => (1, "error_during_execution", e.to_string()),
    };
    let mut code = code;
    let mut written = Ok(());
    match format {
        // Where both streams go to one screen, what the model said stands there already.
        OutputFormat::Text if code == 0 && report.heard(&said) && on_one_screen() => {}
        OutputFormat::Text if code == 0 => {
            let answer = text::strip(&said).into_owned();
            written = say::say(answer.trim_end());
        }
        OutputFormat::Text => screen.error(match code {
            4 => declined(&said),
            _ => text::strip(&said).into_owned(),
        }),
        _ => written = report.print(&report.result(code, subtype, &said, start)),
    }
    // A reader that went away (`| head`) has what it wanted; a full disk has lost the answer.
    if let Err(unsaid) = written
        && !unsaid.nobody_reads()
    {
        screen.error(format!("the answer is lost: {unsaid}"));
        code = code.max(1);
    }
    leave(&mut app, &mut signals).await;
    Ok(ExitCode::from(leaves.unwrap_or(code)))
}

/// Adds up a turn, and with stream-json tells it as it goes.
struct Report {
    stream: bool,
    model_id: String,
    secrets: Secrets,
    sums: Mutex<Sums>,
}

#[derive(Default)]
struct Sums {
    replies: u32,
    usage: Usage,
    cost: f64,
    denials: Vec<Value>,
    heard: String,
}

fn on_one_screen() -> bool {
    stdout().is_terminal() && stderr().is_terminal()
}

impl Report {
    /// Whether this is what the model said last.
    fn heard(&self, said: &str) -> bool {
        self.sums.lock().heard == said
    }

    fn print(&self, value: &Value) -> Result<(), Unsaid> {
        say::say(self.secrets.mask(&value.to_string()))
    }

    fn result(&self, code: u8, subtype: &str, said: &str, start: Instant) -> Value {
        let sums = self.sums.lock();
        let cost = models::known(&self.model_id).map(|_| sums.cost);
        json!({
            "type": "result",
            "subtype": subtype,
            "is_error": code != 0,
            "result": said,
            "num_turns": sums.replies,
            "duration_ms": start.elapsed().as_millis() as u64,
            "model": self.model_id,
            "usage": sums.usage,
            "total_cost_usd": cost,
            "permission_denials": sums.denials,
        })
    }
}

impl Observer for Report {
    fn on(&self, agent: &str, event: &Event) {
        match event {
            Event::Replied(reply) => {
                {
                    let mut sums = self.sums.lock();
                    sums.replies += 1;
                    sums.usage += reply.usage;
                    sums.heard = reply.text();
                    sums.cost += reply.cost().unwrap_or_default();
                }
                if self.stream {
                    let line = json!({"type": "assistant", "agent": agent, "message": reply.message,
                        "stop_reason": reply.stop.as_wire(), "usage": reply.usage});
                    let _ = self.print(&line);
                }
            }
            Event::ToolFinished { result, took, .. } if self.stream => {
                let content = vec![harness_core::Block::ToolResult(result.clone())];
                let message = Message::new(Role::User, content);
                let ms = took.as_millis() as u64;
                let _ = self.print(
                    &json!({"type": "user", "agent": agent, "message": message, "duration_ms": ms}),
                );
            }
            Event::Decided { call, decision: Decision::Denied(why) } => {
                let denial = json!({"tool_name": call.name, "tool_use_id": call.id,
                    "tool_input": call.input, "reason": why});
                self.sums.lock().denials.push(denial);
            }
            Event::Notice(text) if self.stream => {
                let _ = self.print(&json!({"type": "system", "subtype": "notice", "text": text}));
            }
            _ => {}
        }
    }
}

/// What the user is told of a refusal. Most come without a word from the model.
pub(crate) fn declined(why: &str) -> String {
    match text::line(why) {
        why if why.is_empty() => "the model declined; ask in another way".to_owned(),
        why => format!("the model declined: {why}"),
    }
}
