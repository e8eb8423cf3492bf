//! A turn is interrupted at every step, over real HTTP; the server refuses any request that the API would
//! refuse, and any that does not continue the one before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::future::pending;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use harness_core::model::anthropic::{Client, Config, Key};
use harness_core::tool::builtin;
use harness_core::{
    Agent, AgentError, Approval, Approver, Content, Conversation, Delta, Effect, Event, Hook,
    HookContext, Message, NoInput, Observer, Policy, Question, Tool, ToolCall, ToolContext,
    ToolError, ToolResult, TurnOutcome, Verdict,
};
use harness_testkit::{Answers, Fault, Folder, StrictServer, transcript};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What would hang for ever if it were wrong fails after this.
const PATIENCE: Duration = Duration::from_secs(60);

/// Three requests: words and two calls, a call alone, words.
const PLAY: &str = r"
prompt: go
scenes:
- said: again\z
  lines: [{text: I am here.}]
- lines:
  - text: I look at it from all sides.
    calls:
    - {tool: bash, input: {command: 'echo one; if [ -e hold ]; then sleep 100; fi'}}
    - {tool: probe}
  - calls: [{tool: bash, input: {command: 'echo two'}}]
  - text: Done, and all is well.
";

/// Where the user presses Ctrl-C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    BeforeTheTurn,
    /// While the conversation is kept for the n-th time: after what the human said, before the request,
    /// after a reply, after its results …
    Keep(usize),
    /// In a hook that hangs, before the n-th request.
    BeforeModel(usize),
    /// While the server says nothing.
    Silent(usize),
    /// After the first piece of the n-th reply.
    MidReply(usize),
    /// After a piece of the n-th reply of which nothing is to be seen.
    MidThought(usize),
    /// While a failed request waits for its next try.
    Retrying,
    /// When the n-th reply is complete.
    Replied(usize),
    BeforeTool,
    Question,
    ToolStarted,
    /// While a command runs that has said something already.
    Bash,
    /// While a tool runs that does not listen.
    Deaf,
    /// Between two calls.
    ToolFinished,
    AfterTool,
    BeforeStop,
}

/// Sits at a point of the turn, presses Ctrl-C when it is reached, and hangs there where one can hang.
struct Trap {
    point: Point,
    cancel: CancellationToken,
    kept: AtomicUsize,
    asked: AtomicUsize,
    replied: AtomicUsize,
    /// A piece of the reply under way has come.
    heard: watch::Sender<bool>,
    /// What was kept last.
    disk: Mutex<Vec<Message>>,
}

impl Trap {
    async fn hang_at(&self, point: Point) {
        if self.point == point && !self.cancel.is_cancelled() {
            self.cancel.cancel();
            pending::<()>().await;
        }
    }

    fn stop_at(&self, point: Point) {
        if self.point == point {
            self.cancel.cancel();
        }
    }
}

fn next(count: &AtomicUsize) -> usize {
    count.fetch_add(1, Ordering::SeqCst) + 1
}

#[async_trait]
impl Hook for Trap {
    async fn before_model(
        &self,
        c: &mut Conversation,
        _: &HookContext<'_>,
    ) -> Result<(), AgentError> {
        let number = next(&self.asked);
        let cut = c.cut(1);
        self.hang_at(Point::BeforeModel(number)).await;
        if let (Point::BeforeModel(wanted), Some(cut)) = (self.point, cut)
            && wanted == number
        {
            c.compact(cut, "a summary that never came"); // a compaction changes the conversation last
        }
        Ok(())
    }

    async fn before_tool(&self, _: &mut ToolCall, _: &Effect, _: &ToolContext) -> Verdict {
        self.hang_at(Point::BeforeTool).await;
        Verdict::Allow
    }

    async fn after_tool(&self, _: &ToolCall, _: &mut ToolResult, _: &ToolContext) {
        self.hang_at(Point::AfterTool).await;
    }

    async fn persist(&self, c: &Conversation, _: &HookContext<'_>) -> Result<(), AgentError> {
        self.stop_at(Point::Keep(next(&self.kept)));
        *self.disk.lock().unwrap() = c.messages().to_vec();
        Ok(())
    }

    async fn before_stop(&self, _: &Conversation, _: &HookContext<'_>) -> Option<String> {
        self.hang_at(Point::BeforeStop).await;
        None
    }
}

impl Observer for Trap {
    fn on(&self, _: &str, event: &Event) {
        match event {
            Event::Retrying { .. } => self.stop_at(Point::Retrying),
            Event::Delta(Delta::Text(_) | Delta::ToolInput { .. }) => {
                self.heard.send_replace(true);
            }
            Event::Replied(_) => {
                self.heard.send_replace(false);
                self.stop_at(Point::Replied(next(&self.replied)));
            }
            Event::ToolStarted(_) => self.stop_at(Point::ToolStarted),
            Event::ToolProgress { text, .. } if text.contains("one") => self.stop_at(Point::Bash),
            Event::ToolFinished { .. } => self.stop_at(Point::ToolFinished),
            _ => {}
        }
    }
}

struct Asks(Arc<Trap>);

impl Policy for Asks {
    fn rule_on(&self, _: &ToolCall, _: &Effect, _: &Path) -> Verdict {
        Verdict::Ask("as asked".to_owned())
    }
}

#[async_trait]
impl Approver for Asks {
    async fn approve(&self, _: &Question<'_>, _: &ToolContext) -> Approval {
        self.0.hang_at(Point::Question).await;
        Approval::Once
    }
}

struct Probe(Arc<Trap>);

impl Tool for Probe {
    const NAME: &'static str = "probe";
    const ABOUT: &'static str = "Does not listen.";
    type Input = NoInput;

    async fn call(&self, _: NoInput, _: &ToolContext) -> Result<Content, ToolError> {
        self.0.hang_at(Point::Deaf).await;
        Ok("probed".into())
    }
}

fn client(server: &StrictServer) -> Client {
    let key = Key::ApiKey("test-key-0123456789abcdef".to_owned());
    Client::new(Config::new(server.base_url(), key)).unwrap()
}

/// Interrupts a turn there; then the next prompt has to work. Returns the transcript before it.
async fn interrupted_at(point: Point, faults: Vec<(usize, Fault)>) -> String {
    let server = StrictServer::start(Answers::from_yaml(PLAY));
    for (request, fault) in faults {
        server.fault(request, fault);
    }
    let folder = Folder::new();
    let trap = Arc::new(Trap {
        point,
        cancel: CancellationToken::new(),
        kept: AtomicUsize::default(),
        asked: AtomicUsize::default(),
        replied: AtomicUsize::default(),
        heard: watch::Sender::default(),
        disk: Mutex::default(),
    });
    let mut agent = Agent::new(Arc::new(client(&server)), folder.path());
    agent.tools = builtin::all();
    agent.tools.add(Probe(trap.clone()));
    agent.hooks.push(trap.clone());
    agent.observers.add(trap.clone());
    agent.gate.policy = Arc::new(Asks(trap.clone()));
    agent.gate.approver = Arc::new(Asks(trap.clone()));
    let mut conversation = Conversation::new();
    conversation.say("go");
    match point {
        Point::BeforeTheTurn => trap.cancel.cancel(),
        Point::Bash => drop(folder.write("hold", "")),
        _ => {}
    }
    let (cancel, mut heard) = (&trap.cancel, trap.heard.subscribe());
    let at_gate = matches!(point, Point::Silent(_) | Point::MidReply(_) | Point::MidThought(_));
    let press = async {
        if at_gate {
            server.held("gate", 1).await;
            if let Point::MidReply(_) = point {
                heard.wait_for(|heard| *heard).await.unwrap();
            }
            cancel.cancel();
            server.held("gate", 0).await; // the request is gone too
        }
    };
    let turn = async { tokio::join!(agent.run(&mut conversation, cancel), press).0 };
    let stop = tokio::time::timeout(PATIENCE, turn).await.expect("the turn ends");
    let answered = matches!(point, Point::BeforeStop | Point::Replied(3)); // nothing was left to stop
    let wanted = match answered {
        true => TurnOutcome::Answered("Done, and all is well.".to_owned()),
        false => TurnOutcome::Interrupted,
    };
    assert_eq!(stop, Ok(wanted), "{point:?}");
    assert!(conversation.calls().is_empty(), "{point:?}: a call is open");
    assert_eq!(*trap.disk.lock().unwrap(), conversation.messages(), "{point:?}: not kept");
    let said = transcript(conversation.messages());
    assert!(!said.contains("a summary"), "{point:?}: {said}");

    conversation.say("again");
    let cancel = CancellationToken::new();
    let turn = agent.run(&mut conversation, &cancel);
    let stop = tokio::time::timeout(PATIENCE, turn).await.expect("the next turn ends");
    assert_eq!(stop, Ok(TurnOutcome::Answered("I am here.".to_owned())), "{point:?}");
    server.finish(); // fails if any request was wrong
    said
}

fn gate(request: usize) -> Vec<(usize, Fault)> {
    vec![(request, Fault::Gate("gate".to_owned()))]
}

fn silence(request: usize) -> Vec<(usize, Fault)> {
    vec![(request, Fault::Silent("gate".to_owned()))]
}

// The original's defect: its interrupt left a call without a result, and the next request was refused.
#[tokio::test]
async fn interrupted_at_any_of_31_points_the_next_request_is_valid() {
    let with = |mut faults: Vec<(usize, Fault)>, more: (usize, Fault)| {
        faults.push(more);
        faults
    };
    let points = [
        (Point::BeforeTheTurn, vec![]),
        (Point::Keep(1), vec![]),
        (Point::BeforeModel(1), vec![]),
        (Point::Keep(2), vec![]),
        (Point::Silent(1), silence(1)),
        (Point::MidReply(1), gate(1)),
        (Point::MidThought(1), with(gate(1), (1, Fault::ThinkingEmpty))),
        (Point::Retrying, vec![(1, Fault::RetryAfter(30))]),
        (Point::Retrying, vec![(1, Fault::Overloaded529)]),
        (Point::Retrying, vec![(1, Fault::EofBeforeStart)]),
        (Point::MidReply(2), with(gate(2), (1, Fault::MaxTokensInToolInput))),
        (Point::Silent(2), with(silence(2), (1, Fault::PauseTurn))),
        (Point::Replied(1), vec![]),
        (Point::Keep(3), vec![]),
        (Point::BeforeTool, vec![]),
        (Point::Question, vec![]),
        (Point::ToolStarted, vec![]),
        (Point::Bash, vec![]),
        (Point::AfterTool, vec![]),
        (Point::ToolFinished, vec![]),
        (Point::Deaf, vec![]),
        (Point::Keep(4), vec![]),
        (Point::BeforeModel(2), vec![]),
        (Point::Keep(5), vec![]),
        (Point::Silent(2), silence(2)),
        (Point::MidReply(2), gate(2)),
        (Point::Replied(2), vec![]),
        (Point::BeforeModel(3), vec![]),
        (Point::MidReply(3), gate(3)),
        (Point::Replied(3), vec![]),
        (Point::BeforeStop, vec![]),
    ];
    assert_eq!(points.len(), 31);
    for (point, faults) in points {
        interrupted_at(point, faults).await;
    }
}

#[tokio::test]
async fn words_already_said_stay_and_a_half_made_call_does_not() {
    let said = interrupted_at(Point::MidReply(1), gate(1)).await;
    let (_, words) = said.split_once("model: ").expect("the words are kept");
    assert!("I look at it from all sides.".starts_with(words.trim()), "{said}");
    let said = interrupted_at(Point::MidReply(2), gate(2)).await;
    assert_eq!(said.matches("call ").count(), 2, "the calls of the first reply alone: {said}");
}

#[tokio::test]
async fn a_command_is_answered_with_its_partial_output_and_what_never_ran_says_so() {
    let said = interrupted_at(Point::Bash, vec![]).await;
    let (_, results) = said.split_once("error 1 one\n").expect("the partial output");
    assert!(results.trim_start().starts_with("[interrupted after "), "{said}");
    assert!(said.contains("error 2 interrupted: this call did not finish"), "{said}");
}

#[tokio::test]
async fn a_question_that_is_interrupted_is_a_no() {
    let said = interrupted_at(Point::Question, vec![]).await;
    assert!(said.contains("error 1 denied: the user interrupted"), "{said}");
    assert!(said.contains("error 2 interrupted"), "{said}");
}
