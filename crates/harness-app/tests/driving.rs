//! An app that is driven without a terminal: turns, layers, steering, tasks, commands, news and the exit.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use std::sync::Arc;

use async_trait::async_trait;
use harness_app::{App, Line, RunningApp, Steering, SteeringOutcome, Viewers};
use harness_core::{
    AgentError, Chat, ChildKind, ChildSpec, Conversation, Event, Hook, HookContext, Mutex, Next,
    Observer, Prompt, TurnLayer, TurnOutcome,
};
use harness_testkit::Stage;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What the model of these tests answers.
const PLAY: &str = r#"
prompt: go
scenes:
- said: '^(one|two)$'
  lines: [{text: A task is done.}]
- said: 'turn left\z'
  lines: [{text: I turned left.}]
- said: '^work$'
  lines:
  - {text: I look., calls: [{tool: bash, input: {command: echo seen}}]}
  - {text: I went straight on.}
- said: '.'
  lines: [{text: Done.}]
"#;

fn answered(text: &str) -> Result<TurnOutcome, AgentError> {
    Ok(TurnOutcome::Answered(text.to_owned()))
}

async fn turn(app: &mut RunningApp, prompt: &str) -> Result<TurnOutcome, AgentError> {
    app.turn(prompt.into(), &CancellationToken::new()).await
}

/// Writes down what it sees, one word an event.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Log {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Observer for Log {
    fn on(&self, agent: &str, event: &Event) {
        let word = match event {
            Event::SessionStarted => "started".to_owned(),
            Event::Prompt(prompt) => format!("prompt {prompt}"),
            Event::TurnEnded(_) => "turn ended".to_owned(),
            Event::Notice(sentence) => format!("{agent}: {sentence}"),
            Event::SessionEnded => "ended".to_owned(),
            _ => return,
        };
        self.0.lock().push(word);
    }
}

// ---------------------------------------------------------------- layers

/// A prompt hook: some prompts never reach the model.
struct Refuse(&'static str);

#[async_trait]
impl TurnLayer for Refuse {
    async fn turn(
        &self,
        prompt: Prompt,
        chat: &mut Chat,
        cancel: &CancellationToken,
        next: Next<'_>,
    ) -> Result<TurnOutcome, AgentError> {
        if prompt.text() == Some(self.0) {
            return Ok(TurnOutcome::Refused("not in this house".to_owned()));
        }
        next.turn(prompt, chat, cancel).await
    }
}

#[tokio::test]
async fn a_prompt_that_a_layer_refuses_reaches_no_model_and_leaves_no_trace() {
    let stage = Stage::new(PLAY);
    let mut app = App::from(stage.agent.clone()).layer(Refuse("swear")).start().unwrap();
    let refused = TurnOutcome::Refused("not in this house".to_owned());
    assert_eq!(turn(&mut app, "swear").await, Ok(refused));
    assert_eq!(stage.witness.requests().len(), 0);
    assert_eq!(turn(&mut app, "go").await, answered("Done."));
    let requests = stage.witness.requests();
    assert_eq!(requests.len(), 1);
    assert!(!format!("{requests:?}").contains("swear"), "{requests:?}");
}

/// `one | two`: each part is a task, done by a child of the agent.
struct Split;

#[async_trait]
impl TurnLayer for Split {
    async fn turn(
        &self,
        prompt: Prompt,
        chat: &mut Chat,
        cancel: &CancellationToken,
        next: Next<'_>,
    ) -> Result<TurnOutcome, AgentError> {
        let tasks = match &prompt {
            Prompt::Said(text) if text.contains(" | ") => text.split(" | "),
            _ => return next.turn(prompt, chat, cancel).await,
        };
        let mut report = String::new();
        for (number, task) in tasks.enumerate() {
            let name = format!("task-{}", number + 1);
            let child = chat.agent.child(ChildSpec::new(&name, ChildKind::Task));
            let mut conversation = Conversation::new();
            conversation.say(task);
            let ended = child.run(&mut conversation, cancel).await?;
            report += &format!("{name}: {ended:?}\n");
        }
        Ok(TurnOutcome::Answered(report))
    }
}

#[tokio::test]
async fn a_turn_of_several_tasks_needs_no_screen_and_viewers_see_the_children() {
    let stage = Stage::new(PLAY);
    let log = Arc::new(Log::default());
    let app = App::from(stage.agent.clone()).layer(Split).viewer(log.clone());
    let mut app = app.start().unwrap();
    let done = "Answered(\"A task is done.\")";
    let report = format!("task-1: {done}\ntask-2: {done}\n");
    assert_eq!(turn(&mut app, "one | two").await, answered(&report));
    assert_eq!(log.take(), ["prompt one | two", "turn ended", "turn ended"]);
    assert_eq!(turn(&mut app, "one").await, answered("A task is done."));
}

#[tokio::test]
async fn work_that_flags_brought_begins_by_itself_and_only_once() {
    let stage = Stage::new(PLAY);
    let mut app = App::from(stage.agent.clone()).begins().start().unwrap();
    assert_eq!(app.take_first_prompt(), Some(Prompt::News));
    assert_eq!(app.take_first_prompt(), None);
}

// ---------------------------------------------------------------- steering

/// Tells the model, before its next request, what is typed while it works.
#[derive(Clone, Default)]
struct Steer(Arc<Mutex<Vec<String>>>);

impl Steering for Steer {
    fn typed(&self, line: String) -> SteeringOutcome {
        if line.starts_with(':') {
            return SteeringOutcome::Waits(line);
        }
        self.0.lock().push(line);
        SteeringOutcome::Taken("told at the next step".to_owned())
    }

    fn take_undelivered(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

#[async_trait]
impl Hook for Steer {
    async fn before_model(
        &self,
        conversation: &mut Conversation,
        _: &HookContext<'_>,
    ) -> Result<(), AgentError> {
        for line in self.take_undelivered() {
            conversation.say(line);
        }
        Ok(())
    }
}

/// Somebody who types a line as soon as a tool runs.
struct Types(Arc<dyn Steering>, &'static str);

impl Observer for Types {
    fn on(&self, _: &str, event: &Event) {
        if let Event::ToolStarted(_) = event {
            self.0.typed(self.1.to_owned());
        }
    }
}

#[tokio::test]
async fn a_line_typed_while_a_turn_runs_steers_it_without_a_terminal() {
    let stage = Stage::new(PLAY);
    let steer = Steer::default();
    let mut agent = stage.agent.clone();
    agent.hooks.push(Arc::new(steer.clone()));
    agent.observers.add(Arc::new(Types(Arc::new(steer.clone()), "turn left")));
    let mut app = App::from(agent).steering(Arc::new(steer)).start().unwrap();
    let steering = app.steering().unwrap();
    assert_eq!(turn(&mut app, "work").await, answered("I turned left."));
    assert_eq!(steering.take_undelivered(), [""; 0]);
    // What comes when no request follows any more is handed back.
    steering.typed("turn right".to_owned());
    let waits = SteeringOutcome::Waits(":undo".to_owned());
    assert_eq!(steering.typed(":undo".to_owned()), waits);
    assert_eq!(steering.take_undelivered(), ["turn right"]);
}

// ---------------------------------------------------------------- commands, news, the exit

#[tokio::test]
async fn a_command_gets_the_conversation_and_returns_what_it_has_to_say() {
    let stage = Stage::new(PLAY);
    let app = App::from(stage.agent.clone()).quick("count", "counts messages", |chat, words| {
        Ok(format!("{words}: {}", chat.conversation.messages().len()))
    });
    let mut app = app.start().unwrap();
    assert_eq!(app.help(), "  :count        counts messages\n  :help        this list");
    turn(&mut app, "go").await.unwrap();
    let Ok(Line::Command { name, args }) = app.parse(":count so far") else { panic!("no command") };
    assert_eq!(app.run_command(name, args).await.unwrap(), "so far: 2");
    let error = app.parse(":cuont").unwrap_err().to_string();
    assert_eq!(error, "there is no command :cuont; did you mean :count? :help lists them");
}

#[test]
fn two_commands_of_one_name_do_not_start() {
    let stage = Stage::new(PLAY);
    let app = App::from(stage.agent.clone());
    let app = app.quick("undo", "", |_, _| Ok(String::new()));
    let app = app.quick("undo", "", |_, _| Ok(String::new()));
    let error = app.start().unwrap_err().to_string();
    assert_eq!(error, "two commands are called `:undo`; rename one of them");
}

#[tokio::test]
async fn news_of_any_mechanism_wakes_an_idle_front() {
    let stage = Stage::new(PLAY);
    let (quiet, news) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let app = App::from(stage.agent.clone()).wake(quiet).wake(news.clone());
    let app = app.start().unwrap();
    news.notify_one();
    app.wait_for_news().await;
}

#[tokio::test]
async fn what_a_mechanism_shows_reaches_the_front_from_the_first_moment_to_the_last() {
    let stage = Stage::new(PLAY);
    let log = Arc::new(Log::default());
    let app = App::from(stage.agent.clone());
    let viewers: Viewers = app.viewers();
    viewers.notice("lead", "before there was a front");
    let app = app.at_exit(async move || viewers.notice("lead", "the last words"));
    let mut app = app.viewer(log.clone()).start().unwrap();
    assert_eq!(log.take(), [""; 0]);
    app.enter();
    assert_eq!(log.take(), ["started", "lead: before there was a front"]);
    turn(&mut app, "go").await.unwrap();
    assert_eq!(log.take(), ["prompt go", "turn ended"]);
    app.leave().await;
    assert_eq!(log.take(), ["ended", "lead: the last words"]);
}
