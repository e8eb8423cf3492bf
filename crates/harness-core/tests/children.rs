//! What a child of an agent has: what is for the family, and what each hook says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::sync::Arc;

use async_trait::async_trait;
use harness_core::tool::builtin::{self, Bash, Glob, Grep, Read};
use harness_core::{
    Agent, AgentError, Audience, ChildKind, ChildSpec, Conversation, DynTool, Event, Hook,
    HookContext, Inherit, Mechanism, Mutex, Observer, Play, Script, ToolSource, TurnOutcome,
};
use tokio_util::sync::CancellationToken;

fn lead() -> Agent {
    let play = Play::from_yaml("prompt: go\nscenes: [{lines: [{text: Good day.}]}]").unwrap();
    let mut agent = Agent::new(Arc::new(Script::new(play)), std::env::temp_dir());
    agent.tools = builtin::all();
    agent
}

fn subagent(name: &str) -> ChildSpec {
    ChildSpec::new(name, ChildKind::Subagent)
}

fn names(agent: &Agent) -> Vec<String> {
    agent.tools.specs().iter().map(|spec| spec.name.clone()).collect()
}

/// Writes down whose events it was told of.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Observer for Heard {
    fn on(&self, agent: &str, event: &Event) {
        if let Event::Notice(notice) = event {
            self.0.lock().push(format!("{agent}: {notice}"));
        }
    }
}

fn notice(agent: &Agent, text: &str) {
    agent.emit(&Event::Notice(text.to_owned()));
}

#[test]
fn what_is_for_the_agent_alone_reaches_no_child_and_the_familys_reaches_all() {
    let mut agent = lead();
    agent.tools = builtin::all();
    agent.tools.retain(|name| name == "bash");
    agent.tools.add(Read);
    agent.tools.add_for_family(Grep);
    agent.system.push("You lead.");
    agent.system.push_for_family("Be brief.");
    let child = agent.child(subagent("child"));
    let grandchild = child.child(subagent("grandchild"));
    assert_eq!(names(&agent), ["bash", "read", "grep"]);
    for descendant in [&child, &grandchild] {
        assert_eq!(names(descendant), ["bash", "grep"]);
        assert_eq!(descendant.system.blocks(), ["Be brief."]);
    }
    assert_eq!(agent.system.blocks(), ["Be brief.", "You lead."], "what is shared stands first");
}

#[test]
fn a_child_has_the_model_the_directory_and_the_steps_of_its_spec() {
    let mut agent = lead();
    agent.max_steps = 20;
    let mut spec = subagent("child");
    spec.model_id = Some("another".to_owned());
    spec.cwd = Some("/elsewhere".into());
    spec.max_steps = Some(5);
    spec.tools = Some(vec!["read".to_owned()]);
    spec.instructions = vec!["You read.".to_owned()];
    let child = agent.child(spec);
    assert_eq!((child.name.as_str(), child.model_id.as_str()), ("child", "another"));
    assert_eq!((child.cwd.as_path(), child.max_steps), ("/elsewhere".as_ref(), 5));
    assert_eq!(names(&child), ["read"]);
    assert_eq!(child.system.blocks(), ["You read."]);

    let mut greedy = subagent("greedy");
    greedy.max_steps = Some(500);
    let greedy = agent.child(greedy);
    assert_eq!(greedy.max_steps, 20, "no more than its parent");
    assert_eq!((greedy.model_id, greedy.cwd), (agent.model_id.clone(), agent.cwd.clone()));
}

#[test]
fn observers_are_looked_up_when_an_event_happens() {
    let mut agent = lead();
    let child = agent.child(subagent("child"));
    let grandchild = child.child(subagent("grandchild"));
    let family = Heard::default();
    let alone = Heard::default();
    agent.observers.add_for_family(Arc::new(family.clone())); // after the children were made
    agent.observers.add(Arc::new(alone.clone()));
    let mut spec = subagent("other");
    let own = Heard::default();
    spec.observers = vec![Arc::new(own.clone())];
    let other = agent.child(spec);
    for speaker in [&agent, &child, &grandchild, &other] {
        notice(speaker, "here");
    }
    assert_eq!(*family.0.lock(), ["lead: here", "child: here", "grandchild: here", "other: here"]);
    assert_eq!(*alone.0.lock(), ["lead: here"]);
    assert_eq!(*own.0.lock(), ["other: here"]);
}

/// A server that has its tools later.
#[derive(Clone, Default)]
struct LateServer(Arc<Mutex<Vec<Arc<dyn DynTool>>>>);

impl ToolSource for LateServer {
    fn tools(&self) -> Vec<Arc<dyn DynTool>> {
        self.0.lock().clone()
    }
}

#[test]
fn a_server_that_comes_late_brings_its_tools_to_children_that_live_already() {
    let mut agent = lead();
    agent.tools.retain(|name| name == "bash");
    let server = LateServer::default();
    let private = LateServer::default();
    agent.tools.add_source(Arc::new(server.clone()), Audience::Family);
    agent.tools.add_source(Arc::new(private.clone()), Audience::Alone);
    let child = agent.child(subagent("child"));
    let mut narrow = subagent("narrow");
    narrow.tools = Some(vec!["bash".to_owned()]);
    let narrow = agent.child(narrow);
    server.0.lock().push(Arc::new(Glob));
    private.0.lock().push(Arc::new(Grep));
    assert_eq!(names(&agent), ["bash", "glob", "grep"]);
    assert_eq!(names(&child), ["bash", "glob"]);
    assert_eq!(names(&narrow), ["bash"], "what comes late is narrowed, too");
    assert!(child.tools.get("glob").is_ok() && narrow.tools.get("glob").is_err());
    assert!(child.tools.get(<Bash as harness_core::Tool>::NAME).is_ok());
}

/// Counts what it prepared, and says of children what the test wants.
#[derive(Clone, Default)]
struct Counts {
    counted: Arc<Mutex<Vec<String>>>,
    inherit: Wanted,
}

#[derive(Clone, Copy, Default)]
enum Wanted {
    #[default]
    Nothing,
    Same,
    Fresh,
}

impl Mechanism for Counts {
    fn install(self, agent: &mut Agent) {
        agent.hooks.push(Arc::new(self));
    }
}

#[async_trait]
impl Hook for Counts {
    async fn before_model(
        &self,
        _: &mut Conversation,
        t: &HookContext<'_>,
    ) -> Result<(), AgentError> {
        self.counted.lock().push(t.agent.name.clone());
        Ok(())
    }

    fn for_child(&self, spec: &ChildSpec) -> Inherit {
        match self.inherit {
            Wanted::Nothing => Inherit::Nothing,
            Wanted::Same => Inherit::Same,
            // One of its own, which tells in the same place that it is new.
            Wanted::Fresh => {
                let fresh = Self { inherit: Wanted::Nothing, ..self.clone() };
                fresh.counted.lock().push(format!("made for {}", spec.name));
                Inherit::fresh(fresh)
            }
        }
    }
}

async fn counted(inherit: Wanted) -> Vec<String> {
    let counts = Counts { inherit, ..Counts::default() };
    let agent = lead().with(counts.clone());
    let child = agent.child(subagent("child"));
    let grandchild = child.child(subagent("grandchild"));
    for agent in [agent, child, grandchild] {
        let mut conversation = Conversation::new();
        conversation.say("go");
        let ended = agent.run(&mut conversation, &CancellationToken::new()).await;
        assert_eq!(ended, Ok(TurnOutcome::Answered("Good day.".to_owned())));
    }
    std::mem::take(&mut *counts.counted.lock())
}

#[tokio::test]
async fn each_hook_says_what_a_child_gets_of_it() {
    assert_eq!(counted(Wanted::Nothing).await, ["lead"]);
    assert_eq!(counted(Wanted::Same).await, ["lead", "child", "grandchild"]);
    assert_eq!(counted(Wanted::Fresh).await, ["made for child", "lead", "child"]);
}
