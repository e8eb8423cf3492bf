//! A session with a stub on every seam, on everything an `App` can add, and on what a `LineFront` displays. The
//! terminal's tests drive it in a pseudo-terminal; it also shows, in one file, what a session may install.

use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use harness_app::{App, Lesson, Steering, SteeringOutcome, Viewers};
use harness_cli::LineFront;
use harness_core::{
    Agent, AgentError, Chat, Content, Conversation, Effect, Event, Hook, HookContext, Mechanism,
    Mutex, Next, Observer, Policy, Prompt, Request, Runner, Schedule, Tool, ToolCall, ToolContext,
    ToolError, ToolResult, TurnLayer, TurnOutcome, Verdict,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const LESSON: Lesson = Lesson {
    name: "s00_every_seam",
    motto: "A stub on every seam.",
    play: "
prompt: go
scenes:
- said: '^go$'
  lines:
  - {text: I wait., calls: [{tool: wait, input: {name: one}}]}
  - {text: Done.}
- said: 'steered'
  lines: [{text: I was steered.}]
- said: '^ahead$'
  lines: [{text: I heard what was typed ahead.}]
",
};

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Waiting {
    /// What to wait for.
    name: String,
}

/// Waits until the file of that name is in the workspace.
struct Wait;

impl Tool for Wait {
    const NAME: &'static str = "wait";
    const ABOUT: &'static str = "Waits until a file is there.";
    type Input = Waiting;

    fn effect(&self, input: &Waiting) -> Effect {
        Effect::Reads(vec![input.name.clone().into()])
    }

    async fn call(&self, input: Waiting, cx: &ToolContext) -> Result<Content, ToolError> {
        let file = cx.cwd.join(&input.name);
        let mut look = tokio::time::interval(std::time::Duration::from_millis(10));
        while !file.exists() {
            tokio::select! {
                () = cx.cancel.cancelled() => return Err(ToolError::Failed("interrupted while waiting".to_owned())),
                _ = look.tick() => {}
            }
        }
        Ok(format!("{} is there", input.name).into())
    }
}

/// Every hook point, an observer, a schedule, a policy, a turn layer: each leaves a word in the log.
#[derive(Clone, Default)]
struct Stub {
    log: Arc<Mutex<Vec<&'static str>>>,
    /// What the agent is to hear next.
    news: Arc<Mutex<Vec<String>>>,
    /// Wakes an idle prompt.
    wake: Arc<Notify>,
}

impl Stub {
    fn saw(&self, what: &'static str) {
        let mut log = self.log.lock();
        if !log.contains(&what) {
            log.push(what);
        }
    }
}

impl Mechanism for Stub {
    fn install(self, agent: &mut Agent) {
        agent.tools.add(Wait);
        agent.schedule = Arc::new(self.clone());
        agent.gate.policy = Arc::new(self.clone());
        agent.observers.add(Arc::new(self.clone()));
        agent.hooks.push(Arc::new(self));
    }
}

#[async_trait]
impl Hook for Stub {
    async fn before_model(
        &self,
        c: &mut Conversation,
        _: &HookContext<'_>,
    ) -> Result<(), AgentError> {
        self.saw("before_model");
        for news in self.news.lock().drain(..) {
            c.say(news); // a session would note it; a script only answers what is said
        }
        Ok(())
    }

    fn shape_request(&self, _: &mut Request<'_>, _: &HookContext<'_>) {
        self.saw("shape_request");
    }

    async fn before_tool(&self, _: &mut ToolCall, _: &Effect, _: &ToolContext) -> Verdict {
        self.saw("before_tool");
        Verdict::Allow
    }

    async fn after_tool(&self, _: &ToolCall, _: &mut ToolResult, _: &ToolContext) {
        self.saw("after_tool");
    }

    async fn persist(&self, _: &Conversation, _: &HookContext<'_>) -> Result<(), AgentError> {
        self.saw("persist");
        Ok(())
    }

    async fn before_stop(&self, _: &Conversation, _: &HookContext<'_>) -> Option<String> {
        self.saw("before_stop");
        None
    }
}

impl Observer for Stub {
    fn on(&self, _: &str, _: &Event) {
        self.saw("observer");
    }
}

#[async_trait]
impl Schedule for Stub {
    async fn run(&self, calls: &[ToolCall], runner: &Runner<'_>) -> Vec<ToolResult> {
        self.saw("schedule");
        let mut results = Vec::new();
        for call in calls {
            results.push(runner.run(call).await);
        }
        results
    }
}

impl Policy for Stub {
    fn rule_on(&self, call: &ToolCall, _: &Effect, _: &std::path::Path) -> Verdict {
        self.saw("policy");
        match call.name.as_str() {
            "wait" if call.input["name"] == "one" => {
                Verdict::Ask("the stub asks for everything".to_owned())
            }
            _ => Verdict::Allow,
        }
    }
}

#[async_trait]
impl TurnLayer for Stub {
    async fn turn(
        &self,
        prompt: Prompt,
        chat: &mut Chat,
        cancel: &CancellationToken,
        next: Next<'_>,
    ) -> Result<TurnOutcome, AgentError> {
        self.saw("layer");
        next.turn(prompt, chat, cancel).await
    }
}

impl Steering for Stub {
    fn typed(&self, line: String) -> SteeringOutcome {
        let Some(steer) = line.strip_prefix('!') else { return SteeringOutcome::Waits(line) };
        self.news.lock().push(steer.to_owned());
        SteeringOutcome::Taken(format!("heard: {steer}"))
    }
}

/// What is shown beside the display that every session has.
struct Beside(Stub);

impl Observer for Beside {
    fn on(&self, _: &str, event: &Event) {
        if let Event::TurnEnded(_) = event {
            self.0.saw("display");
        }
    }
}

impl Stub {
    /// Gives the app everything that an app can have.
    fn join(self, app: App) -> App {
        let about_later = "wakes the idle prompt when the file `wake` is there";
        let viewers = app.viewers();
        let (seen, later) = (self.clone(), self.clone());
        app.with(self.clone())
            .notices(["a notice of the stub's".to_owned()])
            .quick("seen", "what the stubs have seen", move |_, _| Ok(seen.log.lock().join(" ")))
            .command("later", about_later, move |chat, _| {
                tokio::spawn(later.clone().wake_later(chat.agent.clone(), viewers.clone()));
                Box::pin(async { Ok("I will.".to_owned()) })
            })
            .layer(self.clone())
            .steering(Arc::new(self.clone()))
            .wake(self.wake)
            .at_exit(|| async {
                let _ = std::io::Write::write_all(&mut std::io::stderr(), b"at exit\n");
            })
    }

    /// Something that happens while no turn runs: it is shown at once, and the agent hears of it.
    async fn wake_later(self, agent: Agent, viewers: Viewers) {
        let file = agent.cwd.join("wake");
        let mut look = tokio::time::interval(std::time::Duration::from_millis(10));
        while !file.exists() {
            look.tick().await;
        }
        viewers.notice(&agent.name, "the file is there");
        self.news.lock().push("steered".to_owned());
        self.wake.notify_one();
    }
}

fn main() -> ExitCode {
    harness_cli::main(LESSON, async |agent| {
        let stub = Stub::default();
        let app = stub.clone().join(App::from(agent));
        Ok(LineFront::from(app).add_display(|_| Arc::new(Beside(stub))))
    })
}
