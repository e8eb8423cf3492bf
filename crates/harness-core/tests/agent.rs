//! The loop: played by a script, and with replies that are not an end by themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};

use harness_core::{
    Agent, AgentError, Approval, Approver, Block, Content, Conversation, Delta, Effect, Event,
    Hook, HookContext, HookReason, Message, Model, ModelError, ModelStream, NoInput, Observer,
    Play, Policy, Question, Reply, Request, Role, Runner, Schedule, Script, Secrets, StopReason,
    Tool, ToolCall, ToolContext, ToolError, ToolResult, TurnOutcome, Usage, Verdict,
};
use harness_testkit::{Witness, transcript};
use serde_json::json;
use tokio_util::sync::CancellationToken;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// What to say.
    word: String,
}

struct Echo;

impl Tool for Echo {
    const NAME: &'static str = "echo";
    const ABOUT: &'static str = "Says it again.";
    type Input = Input;

    fn effect(&self, _: &Input) -> Effect {
        Effect::Internal
    }

    async fn call(&self, input: Input, _: &ToolContext) -> Result<Content, ToolError> {
        match input.word.as_str() {
            "fail" => Err(ToolError::Failed("it failed".to_owned())),
            "fatal" => Err(ToolError::Fatal("it broke".to_owned())),
            "panic" => panic!("as asked"),
            word => Ok(word.into()),
        }
    }
}

fn agent(lines: &str) -> Agent {
    let play = Play::from_yaml(&format!("prompt: go\nscenes:\n- lines:\n{lines}")).unwrap();
    let mut agent = Agent::new(Arc::new(Script::new(play)), std::env::temp_dir());
    agent.tools.add(Echo);
    agent
}

async fn run(agent: &Agent) -> (Result<TurnOutcome, AgentError>, Conversation) {
    let mut conversation = Conversation::new();
    conversation.say("go");
    let stop = agent.run(&mut conversation, &CancellationToken::new()).await;
    (stop, conversation)
}

#[tokio::test]
async fn a_turn_thinks_and_acts_until_no_tool_is_called() {
    let agent = agent(
        "  - {text: First., calls: [{tool: echo, input: {word: hi}}, {tool: echo, input: {word: fail}}]}
  - {text: Done.}",
    );
    let (stop, conversation) = run(&agent).await;
    assert_eq!(stop, Ok(TurnOutcome::Answered("Done.".to_owned())));
    let roles: Vec<Role> = conversation.messages().iter().map(|m| m.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::User, Role::Assistant]);
    let results: Vec<_> = conversation.messages()[2].results().collect();
    assert_eq!(results[0].content.text(), "hi");
    assert!(!results[0].is_error && results[1].is_error);
}

#[tokio::test]
async fn unknown_tools_bad_input_and_panics_are_answered() {
    let agent = agent(
        "  - calls: [{tool: ecko}, {tool: echo, input: {wort: x}}, {tool: echo, input: {word: panic}}]
  - {text: Done.}",
    );
    let (stop, conversation) = run(&agent).await;
    assert_eq!(stop, Ok(TurnOutcome::Answered("Done.".to_owned())));
    let texts: Vec<_> =
        conversation.messages()[2].results().map(|r| r.content.text().into_owned()).collect();
    assert!(texts[0].contains("there is no tool `ecko`"), "{texts:?}");
    assert!(texts[1].contains("wort"), "{texts:?}");
    assert!(texts[2].contains("panicked"), "{texts:?}");
}

#[tokio::test]
async fn a_fatal_tool_ends_the_turn_after_every_call_is_answered() {
    let agent = agent(
        "  - calls: [{tool: echo, input: {word: fatal}}, {tool: echo, input: {word: after}}]",
    );
    let (stop, conversation) = run(&agent).await;
    assert_eq!(stop, Err(AgentError::Fatal("it broke".to_owned())));
    assert_eq!(conversation.messages()[2].results().count(), 2);
    assert!(conversation.calls().is_empty());
    assert!(!matches!(conversation.messages()[2].content[0], Block::Text(_)));
}

/// A model that says what the test tells it, delta by delta. A stream whose list runs out without an end
/// stays silent for ever.
#[derive(Clone, Default)]
struct Replies(Arc<Mutex<VecDeque<Stream>>>);

type Stream = Vec<Result<Delta, ModelError>>;

impl Replies {
    fn then(self, deltas: impl IntoIterator<Item = Result<Delta, ModelError>>) -> Self {
        self.0.lock().unwrap().push_back(deltas.into_iter().collect());
        self
    }

    fn reply(self, stop: StopReason, blocks: serde_json::Value) -> Self {
        self.then([Ok(done(stop, blocks))])
    }
}

impl Model for Replies {
    fn stream(&self, _: &Request<'_>) -> ModelStream {
        let deltas = self.0.lock().unwrap().pop_front().expect("one more reply than the test has");
        let ended = deltas.last().is_some_and(|last| !matches!(last, Ok(Delta::Text(_))));
        let said = stream::iter(deltas);
        if ended { said.boxed() } else { said.chain(stream::pending()).boxed() }
    }
}

fn done(stop: StopReason, blocks: serde_json::Value) -> Delta {
    let message = serde_json::from_value(json!({"role": "assistant", "content": blocks})).unwrap();
    Delta::Done(Reply::new(message, stop, Usage::default()))
}

fn say(text: &str) -> serde_json::Value {
    json!([{"type": "text", "text": text}])
}

fn echo(id: &str, word: &str) -> serde_json::Value {
    json!({"type": "tool_use", "id": id, "name": "echo", "input": {"word": word}})
}

fn watched(replies: Replies) -> (Agent, Witness<Replies>) {
    let witness = Witness::new(replies);
    let mut agent = Agent::new(Arc::new(witness.clone()), std::env::temp_dir());
    agent.tools.add(Echo);
    (agent, witness)
}

#[tokio::test]
async fn a_call_cut_at_the_token_limit_is_never_run() {
    let cut = json!([{"type": "text", "text": "I write."}, echo("a", "half")]);
    let (agent, witness) = watched(
        Replies::default()
            .reply(StopReason::MaxTokens, cut.clone())
            .reply(StopReason::MaxTokens, cut)
            .reply(StopReason::EndTurn, say("In smaller steps, then.")),
    );
    let (stop, conversation) = run(&agent).await;
    assert_eq!(stop, Ok(TurnOutcome::Answered("In smaller steps, then.".to_owned())));
    assert_eq!(conversation.messages().iter().flat_map(Message::calls).count(), 0);
    let asked: Vec<_> =
        witness.requests().iter().map(|r| r["max_tokens"].as_u64().unwrap()).collect();
    assert!(asked[1] > asked[0], "the second request has more room: {asked:?}");
}

#[tokio::test]
async fn a_text_cut_at_the_token_limit_is_continued_three_times_at_most() {
    let mut replies = Replies::default();
    for _ in 0..4 {
        replies = replies.reply(StopReason::MaxTokens, say("more "));
    }
    let (agent, _) = watched(replies);
    let (stop, conversation) = run(&agent).await;
    assert!(matches!(stop, Err(AgentError::CutOff(_))), "{stop:?}");
    assert_eq!(conversation.messages().iter().filter(|m| m.role == Role::Assistant).count(), 4);
}

#[tokio::test]
async fn a_continued_reply_is_one_answer() {
    let (agent, _) = watched(
        Replies::default()
            .reply(StopReason::MaxTokens, say("The answer is for"))
            .reply(StopReason::EndTurn, say("ty-two.")),
    );
    assert_eq!(
        run(&agent).await.0,
        Ok(TurnOutcome::Answered("The answer is forty-two.".to_owned()))
    );
}

#[tokio::test]
async fn a_paused_reply_is_resumed_without_a_word_in_between() {
    let server =
        json!([{"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}]);
    let (agent, _) = watched(
        Replies::default()
            .reply(StopReason::PauseTurn, server)
            .reply(StopReason::EndTurn, say("Found it.")),
    );
    let (stop, conversation) = run(&agent).await;
    assert_eq!(stop, Ok(TurnOutcome::Answered("Found it.".to_owned())));
    assert_eq!(conversation.messages().len(), 2);
}

#[tokio::test]
async fn a_server_that_pauses_for_ever_is_given_up_and_named() {
    let pause = |replies: Replies, _| replies.reply(StopReason::PauseTurn, say("One moment."));
    let (agent, _) = watched((0..20).fold(Replies::default(), pause));
    assert_eq!(run(&agent).await.0, Err(AgentError::Paused(10)));
}

#[tokio::test]
async fn a_refusal_is_an_end_of_its_own_and_leaves_no_trace() {
    let (agent, _) = watched(
        Replies::default()
            .reply(StopReason::Refusal, say("No."))
            .reply(StopReason::EndTurn, say("Yes.")),
    );
    let (stop, mut conversation) = run(&agent).await;
    assert_eq!(stop, Ok(TurnOutcome::Refused("No.".to_owned())));
    conversation.say("something else");
    assert_eq!(
        agent.run(&mut conversation, &CancellationToken::new()).await,
        Ok(TurnOutcome::Answered("Yes.".to_owned()))
    );
}

#[tokio::test]
async fn an_empty_reply_is_asked_about_once() {
    let (agent, _) = watched(
        Replies::default()
            .reply(StopReason::EndTurn, json!([]))
            .reply(StopReason::EndTurn, say("I am done.")),
    );
    let (stop, conversation) = run(&agent).await;
    assert_eq!(stop, Ok(TurnOutcome::Answered("I am done.".to_owned())));
    assert!(transcript(conversation.messages()).contains("note: Your last reply was empty"));
}

#[tokio::test]
async fn an_unknown_reason_to_stop_is_no_success() {
    let (agent, _) = watched(Replies::default().reply(StopReason::Other("new".into()), say("hm")));
    assert_eq!(run(&agent).await.0, Err(AgentError::UnknownStop("new".into())));
}

#[tokio::test]
async fn a_stream_that_breaks_keeps_the_words_and_the_next_prompt_works() {
    let why = || ModelError::Broken { why: "the connection closed".into() };
    let (agent, _) = watched(
        Replies::default()
            .then([Ok(Delta::Text("Half a ".into())), Err(why())])
            .reply(StopReason::EndTurn, say("Whole.")),
    );
    let (stop, mut conversation) = run(&agent).await;
    assert_eq!(stop, Err(AgentError::Model(why())));
    assert_eq!(conversation.messages()[1].text(), "Half a ");
    conversation.say("continue");
    assert!(agent.run(&mut conversation, &CancellationToken::new()).await.is_ok());
}

/// Cancels when the words so far contain the one it waits for.
struct CancelAt(&'static str, CancellationToken);

impl Observer for CancelAt {
    fn on(&self, _: &str, event: &Event) {
        let seen = match event {
            Event::Delta(Delta::Text(text)) => text.contains(self.0),
            Event::ToolStarted(call) => call.name == self.0,
            _ => false,
        };
        if seen {
            self.1.cancel();
        }
    }
}

#[tokio::test]
async fn an_interrupt_in_mid_reply_keeps_what_was_said() {
    let (mut agent, _) = watched(
        Replies::default()
            .then([Ok(Delta::Text("So far ".into())), Ok(Delta::Text("so good".into()))])
            .reply(StopReason::EndTurn, say("Again.")),
    );
    let cancel = CancellationToken::new();
    agent.observers.add(Arc::new(CancelAt("good", cancel.clone())));
    let mut conversation = Conversation::new();
    conversation.say("go");
    assert_eq!(agent.run(&mut conversation, &cancel).await, Ok(TurnOutcome::Interrupted));
    assert_eq!(conversation.messages()[1].text(), "So far so good");
    conversation.say("go on");
    assert!(agent.run(&mut conversation, &CancellationToken::new()).await.is_ok());
}

/// Hangs around every tool, after it has pressed Ctrl-C.
struct Hangs(&'static str, CancellationToken);

#[async_trait]
impl Hook for Hangs {
    async fn before_tool(&self, _: &mut ToolCall, _: &Effect, _: &ToolContext) -> Verdict {
        if self.0 == "before" {
            self.1.cancel();
            std::future::pending::<()>().await;
        }
        Verdict::Allow
    }

    async fn after_tool(&self, _: &ToolCall, result: &mut ToolResult, _: &ToolContext) {
        result.content = "seen".into(); // what need not wait is done all the same
        if self.0 == "after" {
            self.1.cancel();
            std::future::pending::<()>().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_hangs_around_a_tool_does_not_outlive_an_interrupt() {
    for (place, answers) in
        [("before", ["interrupted", "interrupted"]), ("after", ["seen", "interrupted"])]
    {
        let calls = json!([echo("a", "one"), echo("b", "two")]);
        let (mut agent, _) = watched(Replies::default().reply(StopReason::ToolUse, calls));
        let cancel = CancellationToken::new();
        agent.hooks.push(Arc::new(Hangs(place, cancel.clone())));
        let mut conversation = Conversation::new();
        conversation.say("go");
        assert_eq!(agent.run(&mut conversation, &cancel).await, Ok(TurnOutcome::Interrupted));
        let results = conversation.messages()[2].results().map(|r| r.content.text().into_owned());
        for (result, wanted) in results.zip(answers) {
            assert!(result.starts_with(wanted), "{place}: {result}");
        }
    }
}

/// Keeps the conversation in a place that does not answer.
struct Remote(CancellationToken);

#[async_trait]
impl Hook for Remote {
    async fn persist(&self, _: &Conversation, _: &HookContext<'_>) -> Result<(), AgentError> {
        self.0.cancel();
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_to_keep_the_conversation_that_hangs_is_told_after_an_interrupt() {
    let (mut agent, _) = watched(Replies::default());
    let cancel = CancellationToken::new();
    agent.hooks.push(Arc::new(Remote(cancel.clone())));
    let mut conversation = Conversation::new();
    conversation.say("go");
    assert_eq!(agent.run(&mut conversation, &cancel).await, Err(AgentError::NotKept));
}

/// Admits everything before it performs anything, and is interrupted in between.
struct Hesitant(CancellationToken);

#[async_trait]
impl Schedule for Hesitant {
    async fn run(&self, calls: &[ToolCall], runner: &Runner<'_>) -> Vec<ToolResult> {
        assert_eq!(runner.foresee(&calls[0]), Some(Effect::Internal));
        assert_eq!(runner.foresee(&calls[1]), None, "it panics where it says what it would do");
        let admitted = runner.admit(&calls[0]).await.unwrap();
        let refused = runner.admit(&calls[1]).await.unwrap_err();
        self.0.cancel();
        vec![runner.perform(admitted).await, refused]
    }
}

/// A tool that panics before it is called.
struct Hasty;

impl Tool for Hasty {
    const NAME: &'static str = "hasty";
    const ABOUT: &'static str = "Panics early.";
    type Input = NoInput;

    fn effect(&self, _: &NoInput) -> Effect {
        panic!("as asked")
    }

    async fn call(&self, _: NoInput, _: &ToolContext) -> Result<Content, ToolError> {
        unreachable!("it has no effect that could be allowed")
    }
}

#[tokio::test]
async fn a_call_that_was_admitted_is_not_begun_after_an_interrupt() {
    let calls =
        json!([echo("a", "never"), {"type": "tool_use", "id": "b", "name": "hasty", "input": {}}]);
    let (mut agent, _) = watched(Replies::default().reply(StopReason::ToolUse, calls));
    agent.tools.add(Hasty);
    let cancel = CancellationToken::new();
    agent.schedule = Arc::new(Hesitant(cancel.clone()));
    let mut conversation = Conversation::new();
    conversation.say("go");
    assert_eq!(agent.run(&mut conversation, &cancel).await, Ok(TurnOutcome::Interrupted));
    let results: Vec<_> =
        conversation.messages()[2].results().map(|r| r.content.text().into_owned()).collect();
    let panicked = "the tool `hasty` panicked; this is a bug in the tool";
    assert_eq!(results, ["interrupted: this call did not finish", panicked]);
}

/// A tool that never ends and does not listen.
struct Deaf;

impl Tool for Deaf {
    const NAME: &'static str = "deaf";
    const ABOUT: &'static str = "Never ends.";
    type Input = std::collections::BTreeMap<String, String>;

    async fn call(&self, _: Self::Input, _: &ToolContext) -> Result<Content, ToolError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_does_not_listen_is_dropped_and_its_call_answered() {
    let calls =
        json!([{"type": "tool_use", "id": "a", "name": "deaf", "input": {}}, echo("b", "never")]);
    let (mut agent, _) = watched(Replies::default().reply(StopReason::ToolUse, calls));
    agent.tools.add(Deaf);
    let cancel = CancellationToken::new();
    agent.observers.add(Arc::new(CancelAt("deaf", cancel.clone())));
    let mut conversation = Conversation::new();
    conversation.say("go");
    assert_eq!(agent.run(&mut conversation, &cancel).await, Ok(TurnOutcome::Interrupted));
    let results: Vec<_> =
        conversation.messages()[2].results().map(|r| r.content.text().into_owned()).collect();
    assert!(results[0].starts_with("interrupted after"), "{results:?}");
    assert!(results[1].starts_with("interrupted"), "{results:?}");
}

#[tokio::test]
async fn a_prompt_that_is_too_long_gives_the_hooks_one_chance() {
    struct Shorten(Mutex<Vec<HookReason>>);
    #[async_trait]
    impl Hook for Shorten {
        async fn before_model(
            &self,
            _: &mut Conversation,
            t: &HookContext<'_>,
        ) -> Result<(), AgentError> {
            self.0.lock().unwrap().push(t.why);
            Ok(())
        }
    }
    let too_long = || ModelError::TooLong { why: "300 > 200".into() };
    let (mut agent, _) =
        watched(Replies::default().then([Err(too_long())]).then([Err(too_long())]));
    let hook = Arc::new(Shorten(Mutex::default()));
    agent.hooks.push(hook.clone());
    assert_eq!(run(&agent).await.0, Err(AgentError::Model(too_long())));
    assert_eq!(*hook.0.lock().unwrap(), [HookReason::Step, HookReason::Overflow]);
}

#[tokio::test]
async fn a_rewritten_call_is_judged_as_it_will_run_and_a_hook_never_overrules_the_policy() {
    struct Rewrite;
    #[async_trait]
    impl Hook for Rewrite {
        async fn before_tool(&self, call: &mut ToolCall, _: &Effect, _: &ToolContext) -> Verdict {
            call.input.insert("word".into(), json!("rewritten"));
            Verdict::Allow
        }
    }
    struct NotRewritten;
    impl Policy for NotRewritten {
        fn rule_on(&self, call: &ToolCall, _: &Effect, _: &std::path::Path) -> Verdict {
            match call.input["word"] == "rewritten" {
                true => Verdict::Deny("no rewritten words".into()),
                false => Verdict::Allow,
            }
        }
    }
    let mut agent = agent("  - calls: [{tool: echo, input: {word: hi}}]\n  - {text: I see.}");
    agent.hooks.push(Arc::new(Rewrite));
    agent.gate.policy = Arc::new(NotRewritten);
    let (_, conversation) = run(&agent).await;
    let result = conversation.messages()[2].results().next().unwrap();
    assert_eq!((result.is_error, &*result.content.text()), (true, "denied: no rewritten words"));
}

#[tokio::test]
async fn a_question_gets_one_answer_and_nobody_there_is_a_no() {
    struct Asks;
    impl Policy for Asks {
        fn rule_on(&self, _: &ToolCall, _: &Effect, _: &std::path::Path) -> Verdict {
            Verdict::Ask("I want to know".into())
        }
    }
    struct Yes(Mutex<u32>);
    #[async_trait]
    impl Approver for Yes {
        async fn approve(&self, _: &Question<'_>, _: &ToolContext) -> Approval {
            *self.0.lock().unwrap() += 1;
            Approval::Once
        }
    }
    let lines = "  - calls: [{tool: echo, input: {word: hi}}]\n  - {text: I see.}";
    let mut headless = agent(lines);
    headless.gate.policy = Arc::new(Asks);
    let (_, conversation) = run(&headless).await;
    let text = conversation.messages()[2].results().next().unwrap().content.text().into_owned();
    assert!(text.contains("nobody is there"), "{text}");
    let yes = Arc::new(Yes(Mutex::new(0)));
    let mut asked = agent(lines);
    asked.gate.policy = Arc::new(Asks);
    asked.gate.approver = yes.clone();
    let (_, conversation) = run(&asked).await;
    assert!(!conversation.messages()[2].results().next().unwrap().is_error);
    assert_eq!(*yes.0.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_secret_that_a_tool_finds_goes_no_further() {
    let mut agent = agent(
        "  - calls: [{tool: echo, input: {word: 'the key is swordfish-1234'}}]\n  - {text: I see.}",
    );
    agent.secrets = Secrets::new([], ["swordfish-1234".to_owned()]);
    let (_, conversation) = run(&agent).await;
    let text = conversation.messages()[2].results().next().unwrap().content.text().into_owned();
    assert_eq!(text, "the key is [secret]");
}

#[tokio::test]
async fn a_hook_may_send_the_model_on() {
    struct Once(Mutex<bool>);
    #[async_trait]
    impl Hook for Once {
        async fn before_stop(&self, _: &Conversation, _: &HookContext<'_>) -> Option<String> {
            let mut told = self.0.lock().unwrap();
            (!std::mem::replace(&mut *told, true)).then(|| "You forgot something.".to_owned())
        }
    }
    let mut agent = agent("  - {text: Done.}\n  - {text: Now it is.}");
    agent.hooks.push(Arc::new(Once(Mutex::new(false))));
    let (stop, conversation) = run(&agent).await;
    assert_eq!(stop, Ok(TurnOutcome::Answered("Now it is.".to_owned())));
    assert!(transcript(conversation.messages()).contains("note: You forgot something."));
}

/// Folds everything but the last two messages before the model speaks for the third time, and later again.
struct Fold(Mutex<Vec<usize>>);

#[async_trait]
impl Hook for Fold {
    async fn before_model(
        &self,
        c: &mut Conversation,
        _: &HookContext<'_>,
    ) -> Result<(), AgentError> {
        if c.messages().len() >= 5
            && let Some(cut) = c.cut(2)
        {
            self.0.lock().unwrap().push(c.before(&cut).len());
            c.compact(cut, "what happened");
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_script_goes_on_with_its_next_line_after_a_fold() {
    let mut agent = agent(
        "  - {text: '0', calls: [{tool: echo, input: {word: value=7}}]}
  - {text: '1', calls: [{tool: echo, input: {word: hi}}]}
  - {text: '2', calls: [{tool: echo, input: {word: hi}}]}
  - {text: '3', calls: [{tool: echo, input: {word: value=8}}]}
  - {text: '4 ${n}', take: {n: 'value=(.)'}, calls: [{tool: echo, input: {word: hi}}]}
  - {text: Done.}",
    );
    let folds = Arc::new(Fold(Mutex::default()));
    agent.hooks.push(folds.clone());
    let said = Arc::new(Said::default());
    agent.observers.add(said.clone());
    let (stop, conversation) = run(&agent).await;
    assert_eq!(stop, Ok(TurnOutcome::Answered("Done.".to_owned())));
    assert_eq!(*said.0.lock().unwrap(), ["0", "1", "2", "3", "4 8", "Done."]);
    assert_eq!(*folds.0.lock().unwrap(), [3, 3, 3, 3], "a fold of each step from the third on");
    assert_eq!(conversation.messages()[0].text(), "go");
}

#[tokio::test]
async fn a_script_that_is_denied_a_call_says_so_and_calls_no_more() {
    let lines = "  - calls: [{tool: echo, input: {word: hi}}]
  - {text: It is done., denied: I may not., take: {n: 'hi'}, calls: [{tool: echo, input: {word: hi}}]}
  - {text: All of it.}";
    struct Not;
    impl Policy for Not {
        fn rule_on(&self, _: &ToolCall, _: &Effect, _: &std::path::Path) -> Verdict {
            Verdict::Deny("not here".into())
        }
    }
    for (deny, wanted) in [(false, "All of it."), (true, "I may not.")] {
        let mut agent = agent(lines);
        if deny {
            agent.gate.policy = Arc::new(Not);
        }
        assert_eq!(run(&agent).await.0, Ok(TurnOutcome::Answered(wanted.to_owned())));
    }
}

#[derive(Default)]
struct Said(Mutex<Vec<String>>);

impl Observer for Said {
    fn on(&self, _: &str, event: &Event) {
        if let Event::Replied(reply) = event {
            self.0.lock().unwrap().push(reply.text());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_play_with_a_pace_says_the_same_in_its_time() {
    let pieces = async |pace: u64| {
        let lines = "  - {text: Two words., calls: [{tool: echo, input: {word: 'longer than one piece of input'}}]}";
        let yaml = format!("prompt: go\npace: {pace}\nscenes:\n- lines:\n{lines}");
        let agent = Agent::new(
            Arc::new(Script::new(Play::from_yaml(&yaml).unwrap())),
            std::env::temp_dir(),
        );
        let mut conversation = Conversation::new();
        conversation.say("go");
        let request = Request {
            agent: &agent.name,
            model: &agent.model_id,
            max_tokens: 1,
            system: Vec::new().into(),
            tools: Vec::new().into(),
            messages: conversation.messages(),
            marks: Vec::new(),
            extra: harness_core::model::models::extra(&agent.model_id),
        };
        let start = tokio::time::Instant::now();
        let pieces: Vec<_> = agent.model.stream(&request).collect().await;
        (pieces, start.elapsed().as_millis())
    };
    let (at_once, no_time) = pieces(0).await;
    let (paced, time) = pieces(10).await;
    assert_eq!(at_once, paced);
    // Two words, two pieces of input, the reply.
    assert_eq!((no_time, time), (0, 50));
}
