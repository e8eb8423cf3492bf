//! Records on real disks: what was said is there at once, once, and can be read back.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use harness_core::tool::builtin;
use harness_core::{
    Agent, AgentError, Block, Conversation, ConversationLog, Hook, HookContext, HookReason,
    Message, Play, Script,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Grows the last message before each step, as news do.
struct News;

#[async_trait]
impl Hook for News {
    async fn before_model(
        &self,
        c: &mut Conversation,
        _: &HookContext<'_>,
    ) -> Result<(), AgentError> {
        c.remind("news");
        Ok(())
    }
}

fn agent(cwd: &Path) -> Agent {
    let lines = "
  - {text: I look., calls: [{tool: bash, input: {command: echo one}}, {tool: nothing}]}
  - {text: Done.}";
    let play = Play::from_yaml(&format!("prompt: go\nscenes:\n- lines:{lines}")).unwrap();
    let mut agent = Agent::new(Arc::new(Script::new(play)), cwd);
    agent.tools = builtin::all();
    agent
}

#[tokio::test]
async fn what_is_on_disk_is_the_conversation_also_where_a_message_grew() {
    let folder = TempDir::new().unwrap();
    let record = Arc::new(ConversationLog::begin(folder.path(), "children", "child").unwrap());
    assert_eq!(record.name, "child-1");
    assert_eq!(record.path, Path::new(".harness/children/child-1.jsonl"));
    let mut agent = agent(folder.path());
    agent.hooks = vec![Arc::new(News), record.clone()];
    let mut conversation = Conversation::new();
    conversation.say("go");
    agent.run(&mut conversation, &CancellationToken::new()).await.unwrap();

    let lines = record.journal().read().unwrap();
    assert!(lines.bad.is_empty() && lines.torn.is_none());
    assert_eq!(
        lines.records.len(),
        6,
        "the prompt, its news, a reply, results, their news, a reply"
    );
    let messages = lines.records.into_iter().map(|record| record.value).collect();
    let (read, repairs) = Conversation::recover(messages);
    assert_eq!(read.messages(), conversation.messages());
    assert_eq!(repairs, []);
    assert_eq!(fs::read(folder.path().join(".harness/.gitignore")).unwrap(), b"*\n");
}

#[tokio::test]
async fn calls_are_on_disk_before_they_run() {
    let folder = TempDir::new().unwrap();
    let record = Arc::new(ConversationLog::begin(folder.path(), "children", "child").unwrap());
    let mut agent = agent(folder.path());
    let line = format!(
        "  - {{calls: [{{tool: bash, input: {{command: cat {}}}}}]}}\n  - {{text: Done.}}",
        record.path.display()
    );
    let play = Play::from_yaml(&format!("prompt: go\nscenes:\n- lines:\n{line}")).unwrap();
    agent.model = Arc::new(Script::new(play));
    agent.hooks.push(record.clone());
    let mut conversation = Conversation::new();
    conversation.say("go");
    agent.run(&mut conversation, &CancellationToken::new()).await.unwrap();
    let seen = conversation.messages()[2].results().next().unwrap().content.text().into_owned();
    assert!(seen.contains("\"tool_use\"") && seen.contains("cat .harness"), "{seen}");
}

#[test]
fn no_two_records_share_a_file() {
    let folder = TempDir::new().unwrap();
    let begin = || ConversationLog::begin(folder.path(), "children", "child").unwrap().name;
    let mut names: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(begin)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    names.sort();
    assert_eq!(names, (1..=8).map(|n| format!("child-{n}")).collect::<Vec<_>>());
    assert_eq!(ConversationLog::begin(folder.path(), "children", "other").unwrap().name, "other-1");
}

#[test]
fn a_place_that_leads_outside_or_is_in_the_way_is_refused() {
    let (folder, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::create_dir(folder.path().join(".harness")).unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join(".harness/children")).unwrap();
    let why = ConversationLog::begin(folder.path(), "children", "child").unwrap_err().to_string();
    assert!(why.contains("outside the workspace"), "{why}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    fs::write(folder.path().join(".harness/file"), "").unwrap();
    let why = ConversationLog::begin(folder.path(), "file", "child").unwrap_err().to_string();
    assert!(why.starts_with("cannot write \".harness/file\""), "{why}");
}

#[tokio::test]
async fn a_record_goes_on_where_it_was_cut_off() {
    let folder = TempDir::new().unwrap();
    let (record, mut conversation) = ConversationLog::resume(folder.path(), "team", "ada").unwrap();
    let mut agent = agent(folder.path());
    agent.hooks = vec![Arc::new(News), Arc::new(record)];
    conversation.say("go");
    agent.run(&mut conversation, &CancellationToken::new()).await.unwrap();
    let file = folder.path().join(".harness/team/ada.jsonl");
    // Killed after the calls were written down, before their results were.
    let text = fs::read_to_string(&file).unwrap();
    let kept: Vec<&str> = text.lines().take(3).collect();
    fs::write(&file, kept.join("\n") + "\n").unwrap();

    let (record, mut again) = ConversationLog::resume(folder.path(), "team", "ada").unwrap();
    assert_eq!(again.messages().len(), 3, "the calls that were cut off are answered");
    agent.hooks = vec![Arc::new(record)];
    agent.run(&mut again, &CancellationToken::new()).await.unwrap();
    let (_, read) = ConversationLog::resume(folder.path(), "team", "ada").unwrap();
    assert_eq!(read.messages(), again.messages());

    fs::write(&file, "half\n").unwrap();
    let why = ConversationLog::resume(folder.path(), "team", "ada").unwrap_err().to_string();
    assert!(why.contains("ada.jsonl") && why.contains("line 1"), "{why}");
    assert_eq!(fs::read(&file).unwrap(), b"half\n");
}

#[tokio::test]
async fn what_comes_while_a_conversation_is_folded_is_in_its_record() {
    let folder = TempDir::new().unwrap();
    let (record, mut conversation) = ConversationLog::resume(folder.path(), "team", "ada").unwrap();
    let agent = agent(folder.path());
    let turn =
        HookContext { agent: &agent, cancel: &CancellationToken::new(), why: HookReason::Step };
    conversation.say("one");
    conversation.reply(&Message::assistant(vec![Block::text("first")]));
    conversation.say("two");
    record.persist(&conversation, &turn).await.unwrap();

    conversation.remind("a mail, which counts as kept after this");
    let cut = conversation.cut(1).unwrap();
    conversation.compact(cut, "what was said");
    record.persist(&conversation, &turn).await.unwrap();
    conversation.reply(&Message::assistant(vec![Block::text("last")]));
    record.persist(&conversation, &turn).await.unwrap();

    let lines = record.journal().read().unwrap().records;
    let texts: Vec<String> =
        lines.iter().map(|it| serde_json::to_string(&it.value).unwrap()).collect();
    for kept in ["one", "first", "a mail", "what was said", "last"] {
        assert_eq!(texts.iter().filter(|it| it.contains(kept)).count(), 1, "{kept}: {texts:#?}");
    }
}
