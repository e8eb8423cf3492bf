//! What one call goes through: its input is read once, a person is shown what would change, and what it delivers
//! is known by its id.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use harness_core::model::models;
use harness_core::tool::builtin;
use harness_core::{
    Agent, Approval, Approver, Change, Content, Conversation, Effect, Event, Hook, Mutex, Observer,
    Play, Policy, Question, Script, Tool, ToolCall, ToolContext, ToolError, Verdict,
};
use harness_testkit::{Folder, Stage};
use serde::{Deserialize, Deserializer};
use tokio_util::sync::CancellationToken;

fn agent(folder: &Folder, lines: &str) -> Agent {
    let play = Play::from_yaml(&format!("prompt: go\nscenes:\n- lines:\n{lines}")).unwrap();
    let mut agent = Agent::new(Arc::new(Script::new(play)), folder.path());
    agent.tools = builtin::all();
    agent
}

async fn run(agent: &Agent) -> Conversation {
    let mut conversation = Conversation::new();
    conversation.say("go");
    agent.run(&mut conversation, &CancellationToken::new()).await.unwrap();
    conversation
}

fn results(conversation: &Conversation) -> Vec<String> {
    let results = conversation.messages().iter().flat_map(|message| message.results());
    results.map(|result| result.content.text().into_owned()).collect()
}

// ---- a call's input

static READ: AtomicUsize = AtomicUsize::new(0);

/// An input that counts how often it is read.
struct Counted;

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer)?;
        READ.fetch_add(1, Ordering::SeqCst);
        Ok(Self)
    }
}

impl schemars::JsonSchema for Counted {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Counted".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "object"})
    }
}

struct Counter;

impl Tool for Counter {
    const NAME: &'static str = "counter";
    const ABOUT: &'static str = "Counts how often its input is read.";
    type Input = Counted;

    async fn call(&self, _: Counted, _: &ToolContext) -> Result<Content, ToolError> {
        Ok("done".into())
    }
}

struct Looks;

#[async_trait]
impl Hook for Looks {
    async fn before_tool(&self, _: &mut ToolCall, _: &Effect, _: &ToolContext) -> Verdict {
        Verdict::Allow
    }
}

#[tokio::test]
async fn an_input_is_read_once_however_many_hooks_look_at_the_call() {
    let folder = Folder::new();
    let mut agent = agent(&folder, "  - calls: [{tool: counter}]\n  - {text: Done.}");
    agent.tools.add(Counter);
    for _ in 0..5 {
        agent.hooks.push(Arc::new(Looks));
    }
    assert_eq!(results(&run(&agent).await), ["done"]);
    assert_eq!(READ.load(Ordering::SeqCst), 1);
}

// ---- what a person is shown

struct AskAlways;

impl Policy for AskAlways {
    fn rule_on(&self, _: &ToolCall, _: &Effect, _: &Path) -> Verdict {
        Verdict::Ask("it changes a file".to_owned())
    }
}

/// Says yes to what it is shown; first, something else may happen to the file.
#[derive(Default)]
struct Agrees {
    shown: Mutex<Vec<Option<Change>>>,
    meanwhile: Option<&'static str>,
}

#[async_trait]
impl Approver for Agrees {
    async fn approve(&self, question: &Question<'_>, cx: &ToolContext) -> Approval {
        self.shown.lock().push(question.change.cloned());
        if let Some(text) = self.meanwhile {
            std::fs::write(cx.cwd.join("a.txt"), text).unwrap();
        }
        Approval::Once
    }
}

const EDIT: &str =
    "  - calls: [{tool: edit, input: {path: a.txt, old_string: one, new_string: two}}]
  - {text: Done.}";

async fn edited(meanwhile: Option<&'static str>) -> (Folder, Vec<Option<Change>>, Vec<String>) {
    let folder = Folder::new();
    folder.write("a.txt", "one\n");
    let mut agent = agent(&folder, EDIT);
    let agrees = Arc::new(Agrees { meanwhile, ..Agrees::default() });
    agent.gate.policy = Arc::new(AskAlways);
    agent.gate.approver = agrees.clone();
    let results = results(&run(&agent).await);
    let shown = agrees.shown.lock().clone();
    (folder, shown, results)
}

#[tokio::test]
async fn a_person_is_shown_what_an_edit_would_make_of_the_file() {
    let (folder, shown, _) = edited(None).await;
    let change = Change {
        path: "a.txt".into(),
        before: Some("one\n".to_owned()),
        after: "two\n".to_owned(),
    };
    assert_eq!(shown, [Some(change)]);
    assert_eq!(folder.read("a.txt"), "two\n");
}

#[tokio::test]
async fn what_has_changed_since_the_person_agreed_is_not_overwritten() {
    let (folder, _, results) = edited(Some("one, typed while the question stood\n")).await;
    assert_eq!(folder.read("a.txt"), "one, typed while the question stood\n");
    assert_eq!(results, ["a.txt has changed since the person agreed; look at it and try again"]);
}

#[tokio::test]
async fn a_write_shows_a_new_file_and_nothing_that_is_no_text_or_too_large() {
    let folder = Folder::new();
    std::fs::write(folder.path().join("binary"), [0xff, 0x00]).unwrap();
    let lines = "  - calls:
    - {tool: write, input: {path: new.txt, content: hello}}
    - {tool: write, input: {path: binary, content: text}}
    - {tool: bash, input: {command: 'true'}}
  - {text: Done.}";
    let mut agent = agent(&folder, lines);
    let agrees = Arc::new(Agrees::default());
    agent.gate.policy = Arc::new(AskAlways);
    agent.gate.approver = agrees.clone();
    run(&agent).await;
    let new = Change { path: "new.txt".into(), before: None, after: "hello".to_owned() };
    assert_eq!(*agrees.shown.lock(), [Some(new), None, None]);
}

// ---- what a reply cost

#[derive(Clone, Default)]
struct Priced(Arc<Mutex<Vec<(String, bool)>>>);

impl Observer for Priced {
    fn on(&self, _: &str, event: &Event) {
        if let Event::Replied(reply) = event {
            self.0.lock().push((reply.model.clone(), reply.cost().is_some()));
        }
    }
}

#[tokio::test]
async fn a_reply_knows_its_model_and_its_price_and_an_unknown_price_is_none() {
    let folder = Folder::new();
    let mut agent = agent(&folder, "  - {text: Done.}");
    let priced = Priced::default();
    agent.observers.add(Arc::new(priced.clone()));
    agent.model_id = models::DEFAULT.to_owned();
    run(&agent).await;
    agent.model_id = "a-local-model".to_owned();
    run(&agent).await;
    assert_eq!(
        *priced.0.lock(),
        [(models::DEFAULT.to_owned(), true), ("a-local-model".to_owned(), false)]
    );
}

// ---- what a call delivers

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Nothing {}

/// Returns a mail, say.
struct Fetch;

impl Tool for Fetch {
    const NAME: &'static str = "fetch_mail";
    const ABOUT: &'static str = "Returns a mail.";
    type Input = Nothing;

    fn effect(&self, _: &Nothing) -> Effect {
        Effect::Internal
    }

    async fn call(&self, _: Nothing, cx: &ToolContext) -> Result<Content, ToolError> {
        cx.deliver("mail-1");
        Ok("Good day.".into())
    }
}

#[tokio::test]
async fn what_was_delivered_is_known_by_its_id_stored_and_never_sent() {
    let mut stage = Stage::lines("- calls: [{tool: fetch_mail}]\n- {text: Done.}");
    stage.agent.tools.add(Fetch);
    stage.conversation.remind_delivering("mail-0", "News.");
    stage.say("go").await.unwrap();
    let conversation = &stage.conversation;
    assert!(conversation.has_delivered("mail-0") && conversation.has_delivered("mail-1"));
    assert!(!conversation.has_delivered("mail-2"));

    for request in stage.witness.requests() {
        assert!(!request.to_string().contains("mail-"), "{request}");
    }

    let stored = serde_json::to_string(conversation.messages()).unwrap();
    let (again, repairs) = Conversation::recover(serde_json::from_str(&stored).unwrap());
    assert!(repairs.is_empty(), "{repairs:?}");
    assert!(again.has_delivered("mail-0") && again.has_delivered("mail-1"));
}
