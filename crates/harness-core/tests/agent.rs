//! The loop, played by a script.

use std::sync::Arc;

use harness_core::{
    Agent, Block, Content, Conversation, Effect, Play, Role, Script, Stop, Tool, ToolContext,
    ToolError,
};
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
        Effect::Reads(vec![])
    }

    async fn call(&self, input: Input, _: &ToolContext) -> Result<Content, ToolError> {
        match input.word.as_str() {
            "fail" => Err(ToolError::Tell("it failed".to_owned())),
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

async fn run(agent: &Agent) -> (Result<Stop, harness_core::AgentError>, Conversation) {
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
    assert_eq!(stop, Ok(Stop::Answered("Done.".to_owned())));
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
    assert_eq!(stop, Ok(Stop::Answered("Done.".to_owned())));
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
    assert_eq!(stop, Err(harness_core::AgentError::Fatal("it broke".to_owned())));
    assert_eq!(conversation.messages()[2].results().count(), 2);
    assert!(conversation.calls().is_empty());
    assert!(!matches!(conversation.messages()[2].content[0], Block::Text(_)));
}
