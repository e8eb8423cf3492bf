//! A stage for a lesson's test: a play, a real folder, real tools, and a witness of every request.

use std::path::Path;
use std::sync::Arc;

use harness_core::{Agent, AgentError, Conversation, Play, Script, Stop, tools};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::{Witness, transcript};

/// An agent on a stage. What it does happens in a folder of its own, gone with the stage.
pub struct Stage {
    /// The agent: all built-in tools, allowed everything. Install a mechanism before the play.
    pub agent: Agent,
    /// What was said.
    pub conversation: Conversation,
    /// The play's prompts.
    pub prompts: Vec<String>,
    folder: TempDir,
    witness: Arc<Witness<Script>>,
}

impl Stage {
    /// Sets the stage for a play (`LESSON.play`, or lines written in the test).
    pub fn new(play: &str) -> Self {
        let play = Play::from_yaml(play).expect("the play can be read");
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (path, content) in &play.setup.files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, content).expect("a file");
        }
        let prompts = play.prompt.clone();
        let witness = Arc::new(Witness::new(Script::new(play)));
        let cwd = folder.path().canonicalize().expect("a folder");
        let mut agent = Agent::new(witness.clone(), cwd);
        agent.tools = tools::all();
        Self { agent, conversation: Conversation::new(), prompts, folder, witness }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What every request was.
    pub fn witness(&self) -> &Witness<Script> {
        &self.witness
    }

    /// Says this and runs the turn.
    pub async fn say(&mut self, prompt: &str) -> Result<Stop, AgentError> {
        self.conversation.say(prompt);
        self.agent.run(&mut self.conversation, &CancellationToken::new()).await
    }

    /// Runs the play: one turn for each of its prompts, each answered. Returns the transcript, in which
    /// the folder's name is `FOLDER`.
    pub async fn play(&mut self) -> String {
        for prompt in self.prompts.clone() {
            let stop = self.say(&prompt).await.expect("the turn ends well");
            assert!(matches!(stop, Stop::Answered(_)), "the turn was not answered: {stop:?}");
        }
        self.transcript()
    }

    /// The transcript so far.
    pub fn transcript(&self) -> String {
        let cwd = self.agent.cwd.display().to_string();
        transcript(self.conversation.messages()).replace(&cwd, "FOLDER")
    }
}
