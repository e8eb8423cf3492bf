//! One-shot runs: one prompt, one answer, an exit code, and reports that other programs can read.
//!
//! A front drives a [`OneShot`], as it would a prompt line, and writes what it is handed: nothing is printed
//! here.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use harness_core::host::text;
use harness_core::model::models;
use harness_core::{
    AgentError, Block, Decision, Event, Message, Mutex, Observer, Prompt, Reply, Role, Secrets,
    ToolResult, TurnOutcome, Usage,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::running::RunningApp;

/// The exit code of a turn that failed.
const EXIT_FAILED: u8 = 1;
/// The exit code of a turn that reached its limit of steps.
const EXIT_TOO_MANY_STEPS: u8 = 3;
/// The exit code of a turn that the model declined.
const EXIT_REFUSED: u8 = 4;
/// The exit code of a program that was interrupted.
pub const EXIT_INTERRUPTED: u8 = 130;

/// What a one-shot run reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputFormat {
    /// The answer.
    #[default]
    Text,
    /// One JSON object when it is over.
    Json,
    /// A JSON object for each thing that happens, one a line.
    StreamJson,
}

/// One prompt, answered.
#[derive(Debug)]
pub struct OneShot {
    app: RunningApp,
    report: Arc<Report>,
    cancel: CancellationToken,
    /// How the turn ended; `None` while it has not.
    ended: Option<Result<TurnOutcome, AgentError>>,
}

/// What is left for the front to do when the turn is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneShotOutcome {
    /// The program's exit code.
    pub exit_code: u8,
    /// What goes to standard output: the answer, or a JSON object in a line.
    pub output: Option<String>,
    /// What goes to standard error.
    pub error: Option<String>,
    /// The output is what the model said last, so a display that streams has shown it already.
    pub was_streamed: bool,
}

impl OneShot {
    /// Starts the app. `write_line` gets each line of [`OutputFormat::StreamJson`] as it comes.
    ///
    /// # Errors
    /// Those of [`App::start`].
    pub fn start(
        app: App,
        format: OutputFormat,
        write_line: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Self> {
        let report = Arc::new(Report {
            format,
            model_id: app.agent().model_id.clone(),
            secrets: app.agent().secrets.clone(),
            write_line: Box::new(write_line),
            started: Instant::now(),
            totals: Mutex::default(),
        });
        let app = app.viewer(report.clone()).start()?;
        Ok(Self { app, report, cancel: CancellationToken::new(), ended: None })
    }

    /// Ends the turn early when it is cancelled.
    pub fn cancellation(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Runs the turn. Dropping this gives the turn up, which counts as an interruption.
    pub async fn run(&mut self, prompt: String) {
        self.app.enter();
        self.report.begin(&self.app);
        self.ended = Some(self.app.turn(Prompt::Said(prompt), &self.cancel).await);
    }

    /// What the turn came to.
    pub fn outcome(&self) -> OneShotOutcome {
        let ended = match &self.ended {
            // A turn that waited behind its answer for what runs in the background is not over by itself.
            Some(Ok(TurnOutcome::Answered(_))) if self.cancel.is_cancelled() => {
                Ended::interrupted()
            }
            Some(Ok(TurnOutcome::Answered(answer))) => Ended::new(0, "success", answer.clone()),
            Some(Ok(TurnOutcome::Refused(why))) => Ended::new(EXIT_REFUSED, "refused", why.clone()),
            Some(Err(error @ AgentError::TooManySteps(_))) => {
                Ended::new(EXIT_TOO_MANY_STEPS, "error_max_turns", error.to_string())
            }
            Some(Err(error)) => {
                Ended::new(EXIT_FAILED, "error_during_execution", error.to_string())
            }
            Some(Ok(TurnOutcome::Interrupted)) | None => Ended::interrupted(),
        };
        self.report.outcome(ended)
    }

    /// The program leaves; see [`RunningApp::leave`].
    pub async fn leave(&mut self) {
        self.app.leave().await;
    }
}

/// How the turn ended, in the words of the JSON report.
struct Ended {
    exit_code: u8,
    subtype: &'static str,
    /// The answer, or why there is none.
    text: String,
}

impl Ended {
    fn new(exit_code: u8, subtype: &'static str, text: String) -> Self {
        Self { exit_code, subtype, text }
    }

    fn interrupted() -> Self {
        Self::new(EXIT_INTERRUPTED, "interrupted", "interrupted".to_owned())
    }
}

/// Adds up a turn, and with stream-json reports it as it goes.
struct Report {
    format: OutputFormat,
    model_id: String,
    secrets: Secrets,
    write_line: Box<dyn Fn(&str) + Send + Sync>,
    started: Instant,
    totals: Mutex<Totals>,
}

#[derive(Default)]
struct Totals {
    replies: u32,
    usage: Usage,
    cost: f64,
    denials: Vec<Value>,
    last_reply: String,
    /// The result was handed out: no line follows it.
    finished: bool,
}

impl Report {
    fn begin(&self, app: &RunningApp) {
        let agent = app.agent();
        let tools: Vec<String> = agent.tools.specs().iter().map(|tool| tool.name.clone()).collect();
        self.write_line(json!({
            "type": "system",
            "subtype": "init",
            "model": agent.model_id,
            "cwd": agent.cwd.to_string_lossy(),
            "tools": tools,
        }));
    }

    /// Hands out a line, where lines are streamed.
    fn write_line(&self, value: Value) {
        if self.format == OutputFormat::StreamJson && !self.totals.lock().finished {
            (self.write_line)(&self.line(&value));
        }
    }

    fn line(&self, value: &Value) -> String {
        self.secrets.mask(&value.to_string()).into_owned()
    }

    fn outcome(&self, ended: Ended) -> OneShotOutcome {
        let mut totals = self.totals.lock();
        totals.finished = true;
        let mut outcome = OneShotOutcome {
            exit_code: ended.exit_code,
            output: None,
            error: None,
            was_streamed: false,
        };
        match self.format {
            OutputFormat::Text if ended.exit_code == 0 => {
                outcome.was_streamed = totals.last_reply == ended.text;
                outcome.output = Some(text::strip(&ended.text).trim_end().to_owned());
            }
            OutputFormat::Text if ended.exit_code == EXIT_REFUSED => {
                outcome.error = Some(refusal(&ended.text));
            }
            OutputFormat::Text => outcome.error = Some(text::strip(&ended.text).into_owned()),
            OutputFormat::Json | OutputFormat::StreamJson => {
                outcome.output = Some(self.line(&self.result(&ended, &totals)));
            }
        }
        outcome
    }

    fn result(&self, ended: &Ended, totals: &Totals) -> Value {
        // What a model costs that nobody has a price for is not known.
        let cost = models::known(&self.model_id).map(|_| totals.cost);
        json!({
            "type": "result",
            "subtype": ended.subtype,
            "is_error": ended.exit_code != 0,
            "result": ended.text,
            "num_turns": totals.replies,
            "duration_ms": self.started.elapsed().as_millis() as u64,
            "model": self.model_id,
            "usage": totals.usage,
            "total_cost_usd": cost,
            "permission_denials": totals.denials,
        })
    }

    fn replied(&self, agent: &str, reply: &Reply) {
        {
            let mut totals = self.totals.lock();
            totals.replies += 1;
            totals.usage += reply.usage;
            totals.cost += reply.cost().unwrap_or_default();
            totals.last_reply = reply.text();
        }
        self.write_line(json!({
            "type": "assistant",
            "agent": agent,
            "message": reply.message,
            "stop_reason": reply.stop.as_wire(),
            "usage": reply.usage,
        }));
    }

    fn tool_finished(&self, agent: &str, result: &ToolResult, milliseconds: u64) {
        let content = vec![Block::ToolResult(result.clone())];
        let message = Message::new(Role::User, content);
        self.write_line(json!({
            "type": "user",
            "agent": agent,
            "message": message,
            "duration_ms": milliseconds,
        }));
    }
}

impl Observer for Report {
    fn on(&self, agent: &str, event: &Event) {
        match event {
            Event::Replied(reply) => self.replied(agent, reply),
            Event::ToolFinished { result, took, .. } => {
                self.tool_finished(agent, result, took.as_millis() as u64);
            }
            Event::Decided { call, decision: Decision::Denied(why) } => {
                self.totals.lock().denials.push(json!({
                    "tool_name": call.name,
                    "tool_use_id": call.id,
                    "tool_input": call.input,
                    "reason": why,
                }));
            }
            Event::Notice(text) => {
                self.write_line(json!({"type": "system", "subtype": "notice", "text": text}));
            }
            _ => {}
        }
    }
}

impl std::fmt::Debug for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Report").field("format", &self.format).finish_non_exhaustive()
    }
}

/// What the user sees when the model declined, in a line. Most refusals come without a word from the model.
pub fn refusal(why: &str) -> String {
    let why = text::line(why);
    if why.is_empty() {
        return "the model declined; ask in another way".to_owned();
    }
    format!("the model declined: {why}")
}
