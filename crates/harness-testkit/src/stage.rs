//! A stage for a lesson's test: a play, a real folder, real tools, and a witness of every request.

use std::sync::Arc;

use harness_core::tool::builtin;
use harness_core::{Agent, AgentError, Conversation, Event, Mechanism, Play, Script, TurnOutcome};
use tokio_util::sync::CancellationToken;

use crate::{Folder, Witness, transcript};

/// An agent on a stage. What it does happens in a folder of its own, gone with the stage.
#[derive(Debug)]
pub struct Stage {
    /// The agent: all built-in tools, allowed everything. Install a mechanism before the play.
    pub agent: Agent,
    /// What was said.
    pub conversation: Conversation,
    /// The play's prompts.
    pub prompts: Vec<String>,
    /// Where it happens.
    pub folder: Folder,
    /// What every request was.
    pub witness: Witness<Script>,
}

impl Stage {
    /// Sets the stage for a play: `LESSON.play`, or lines written in the test.
    pub fn new(play: &str) -> Self {
        let play = Play::from_yaml(play).expect("the play can be read");
        let folder = Folder::for_play(&play);
        let prompts = play.prompt.clone();
        let witness = Witness::new(Script::new(play));
        let cwd = folder.path().canonicalize().expect("a folder");
        let mut agent = Agent::new(Arc::new(witness.clone()), cwd);
        agent.tools = builtin::all();
        Self { agent, conversation: Conversation::new(), prompts, folder, witness }
    }

    /// A play of one prompt, `go`, and these lines (YAML, a list).
    pub fn lines(lines: &str) -> Self {
        let indented: String = lines.lines().map(|line| format!("  {line}\n")).collect();
        Self::new(&format!("prompt: go\nscenes:\n- lines:\n{indented}"))
    }

    /// Installs a mechanism.
    pub fn with(mut self, mechanism: impl Mechanism) -> Self {
        self.agent = self.agent.with(mechanism);
        self
    }

    /// Says this, which is told as the terminal tells it, and runs the turn.
    ///
    /// # Errors
    /// Those of the turn.
    pub async fn say(&mut self, prompt: &str) -> Result<TurnOutcome, AgentError> {
        self.agent.emit(&Event::Prompt(prompt.to_owned()));
        self.conversation.say(prompt);
        self.agent.run(&mut self.conversation, &CancellationToken::new()).await
    }

    /// Runs the play: one turn for each of its prompts, each answered. Returns the transcript.
    pub async fn play(&mut self) -> String {
        for prompt in self.prompts.clone() {
            let stop = self.say(&prompt).await.expect("the turn ends well");
            assert!(
                matches!(stop, TurnOutcome::Answered(_)),
                "the turn was not answered: {stop:?}"
            );
        }
        self.transcript()
    }

    /// The transcript so far; the folder's name in it is `FOLDER`.
    pub fn transcript(&self) -> String {
        let cwd = self.agent.cwd.display().to_string();
        transcript(self.conversation.messages()).replace(&cwd, "FOLDER")
    }

    /// The texts of the tool results so far, in order.
    pub fn results(&self) -> Vec<String> {
        let results = self.conversation.messages().iter().flat_map(|message| message.results());
        results.map(|result| result.content.text().into_owned()).collect()
    }
}
