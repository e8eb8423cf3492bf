//! Every agent has what the lead has: rules, AGENTS.md, compaction and a price reach each kind of child.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use harness_core::model::models;
use harness_core::{Agent, Conversation, Event, Mutex, Observer, Play, Rules, Script};
use harness_testkit::{Folder, Witness};
use s04_subagent::{Named, Subagents};
use s06_context_compact::Compact;
use s07_task_system::NewTask;
use s09_agent_teams::mail::{MailNotices, MemoryMailbox};
use s09_agent_teams::{Member, Team};
use s11_autonomous_agents::{Claims, Worker};
use s12_worktree_task_isolation::{Isolated, NotRecorded, TaskRunner};
use tokio_util::sync::CancellationToken;

/// What a child does in all of these tests: something that the rules deny, and more output than its window holds.
const CHORES: &str = "
- said: chores
  lines:
  - calls: [{tool: bash, input: {command: sudo true}}]
  - calls: [{tool: bash, input: {command: seq 1 1500}}]
  - calls: [{tool: bash, input: {command: seq 1501 3000}}]
  - calls: [{tool: bash, input: {command: seq 3001 4500}}]
  - {text: The chores are done.}
";

/// Small enough for two of the outputs to overflow it.
const WINDOW: u64 = 6_000;

/// What became of each agent, by its name.
#[derive(Default)]
struct Seen {
    denied: BTreeSet<String>,
    compacted: BTreeSet<String>,
    /// Agents all of whose replies had a price, and those with one that had none.
    priced: BTreeSet<String>,
    unpriced: BTreeSet<String>,
}

#[derive(Clone, Default)]
struct Watch(Arc<Mutex<Seen>>);

impl Observer for Watch {
    fn on(&self, agent: &str, event: &Event) {
        let mut seen = self.0.lock();
        let agent = agent.to_owned();
        match event {
            Event::ToolFinished { result, .. } if result.content.text().contains("denied: ") => {
                seen.denied.insert(agent);
            }
            Event::Notice(notice) if notice.contains("put away") => {
                seen.compacted.insert(agent);
            }
            Event::Replied(reply) if reply.cost().is_some() => {
                seen.priced.insert(agent);
            }
            Event::Replied(_) => {
                seen.unpriced.insert(agent);
            }
            _ => {}
        }
    }
}

struct House {
    _folder: Folder,
    agent: Agent,
    witness: Witness<Script>,
    watch: Watch,
}

/// A lead with rules, AGENTS.md, compaction and an observer, and these lines.
fn house(lead: &str) -> House {
    let folder = Folder::git_repo();
    folder.write("AGENTS.md", "Indent with tabs in this house.");
    folder.git(&["add", "."]);
    folder.git(&["commit", "--quiet", "-m", "house rules"]);
    let play = format!("prompt: begin\nscenes:{CHORES}- lines:\n{lead}");
    let witness = Witness::new(Script::new(Play::from_yaml(&play).unwrap())).allow_rewrites();
    let mut agent = Agent::new(Arc::new(witness.clone()), folder.path());
    agent.model_id = models::DEFAULT.to_owned();
    agent.tools = harness_core::tool::builtin::all();
    let watch = Watch::default();
    agent.observers.add_for_family(Arc::new(watch.clone()));
    agent.gate.policy = Arc::new(Rules::built_in().unwrap().deny_only());
    let compact = Compact::open(&agent, Some(WINDOW)).unwrap();
    let agent = agent.with(compact);
    House { _folder: folder, agent, witness, watch }
}

impl House {
    async fn begin(&mut self) -> Conversation {
        let mut conversation = Conversation::new();
        conversation.say("begin");
        let ended = self.agent.run(&mut conversation, &CancellationToken::new()).await;
        assert!(ended.is_ok(), "{ended:?}");
        conversation
    }

    /// This agent had all of it.
    fn has_everything(&self, child: &str) {
        let requests = self.witness.requests_of(child);
        assert!(!requests.is_empty(), "{child} was never asked");
        for request in &requests {
            let system = request["system"].to_string();
            assert!(system.contains("Indent with tabs in this house."), "{child}: {system}");
        }
        let seen = self.watch.0.lock();
        assert!(seen.denied.contains(child), "the rules did not reach {child}");
        assert!(seen.compacted.contains(child), "{child} was not compacted");
        assert!(seen.priced.contains(child), "{child} has no price");
        assert!(!seen.unpriced.contains(child), "a reply to {child} has no price");
    }
}

#[tokio::test]
async fn a_subagent_and_one_with_a_name_have_what_the_lead_has() {
    let mut house = house(
        "  - calls: [{tool: spawn_subagent, input: {prompt: Do the chores.}}]
  - calls: [{tool: spawn_subagent, input: {prompt: Do the chores., agent: cleaner}}]
  - {text: Done.}",
    );
    let cleaner = Named {
        name: "cleaner".to_owned(),
        description: "cleans".to_owned(),
        tools: Some(vec!["bash".to_owned()]),
        ..Named::default()
    };
    house.agent = house.agent.with(Subagents { named: vec![cleaner] });
    house.begin().await;
    house.has_everything("subagent-1");
    house.has_everything("cleaner-1");
    let tools = house.witness.requests_of("cleaner-1")[0]["tools"].clone();
    assert_eq!(tools.as_array().unwrap().len(), 1, "the file narrows it to bash: {tools}");
    let tools = house.witness.requests_of("subagent-1")[0]["tools"].to_string();
    assert!(!tools.contains("spawn_subagent"), "a subagent sends no others: {tools}");
}

#[tokio::test]
async fn a_task_in_a_worktree_has_what_the_lead_has() {
    let house = house("  - {text: Nothing.}");
    let tasks = vec!["Do the chores.".to_owned()];
    let isolated = Isolated(Arc::new(NotRecorded));
    let done = isolated.run(&house.agent, tasks, &CancellationToken::new()).await.unwrap();
    assert!(done[0].ended.is_ok(), "{:?}", done[0].ended);
    house.has_everything(&done[0].name);
}

#[tokio::test]
async fn a_teammate_has_what_the_lead_has() {
    let mut house = house(
        "  - calls: [{tool: send_to_teammate, input: {name: cleaner, message: Do the chores.}}]
  - {text: Done.}",
    );
    let member = Member {
        name: "cleaner".to_owned(),
        about: "cleans".to_owned(),
        instructions: String::new(),
        tools: None,
    };
    let mailbox = Arc::new(MemoryMailbox::new(["lead", "cleaner"]));
    let team =
        Team::open(&house.agent, vec![member], mailbox, MailNotices::default()).await.unwrap();
    house.agent = house.agent.with(team);
    house.begin().await;
    house.has_everything("cleaner");
    let tools = house.witness.requests_of("cleaner")[0]["tools"].to_string();
    assert!(!tools.contains("send_to_teammate"), "a teammate leads no team: {tools}");
}

#[tokio::test]
async fn a_worker_has_what_the_lead_has() {
    let house = house("  - {text: Nothing.}");
    let claims = Claims::open(&house.agent, Duration::from_secs(60)).unwrap();
    let task = NewTask { description: "Do the chores.".to_owned(), ..NewTask::default() };
    claims.board.change(|graph| graph.create(&task).map(drop)).unwrap();
    let worker = Worker::new(&claims, &house.agent, "worker-1").unwrap();
    let worked = worker.work(Some(Duration::ZERO), &CancellationToken::new()).await.unwrap();
    assert_eq!(worked, 1);
    house.has_everything("worker-1");
}
