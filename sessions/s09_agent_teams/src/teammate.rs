//! One teammate: a clone of the agent that works off its mail, in a task of its own.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::FutureExt;
use harness_cli::cut;
use harness_core::host::text;
use harness_core::mail::{Done, MailError, Mailbox, News, Post};
use harness_core::{
    Agent, ChildKind, ChildSpec, Conversation, ConversationLog, Event, Hook, HookContext,
    HookReason, Mutex, Role, TurnOutcome,
};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

/// The most bytes of an answer; of a longer one both ends.
const LONGEST: usize = 60_000;

/// Who can be in a team: an entry of `team.yaml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// What it is for, in a line; the lead reads this.
    pub about: String,
    /// A part of its system prompt.
    pub instructions: String,
    /// The tools it keeps; without, all that the lead has.
    pub tools: Option<Vec<String>>,
}

impl Member {
    /// Reads a list of members.
    ///
    /// # Errors
    /// The text is no such list; `file` names it.
    pub fn list(yaml: &str, file: &str) -> Result<Vec<Self>> {
        serde_yaml::from_str(yaml).with_context(|| format!("{file} is no team"))
    }
}

/// What a teammate does now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It waits for mail.
    #[default]
    Idle,
    /// It works on a mail that begins so.
    Working(String),
    /// It could not answer its last mail, and waits for the next.
    Failed(String),
    /// It runs in another process; nothing is known here.
    Elsewhere,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Idle => f.write_str("idle"),
            State::Working(task) => write!(f, "working on “{task}”"),
            State::Failed(why) => write!(f, "idle, its last mail failed: {why}"),
            State::Elsewhere => f.write_str("in another process"),
        }
    }
}

/// A teammate. Its conversation is on disk, so it goes on where it was when the program was killed.
#[derive(Debug)]
pub struct Teammate {
    /// What it is: a clone of the lead.
    pub agent: Agent,
    /// Its mail.
    pub post: Arc<Post>,
    lead: String,
    conversation: Conversation,
    /// What it does, for whoever asks while it works.
    pub state: Arc<Mutex<State>>,
}

impl Teammate {
    /// Makes one of an agent, and takes the lease of its mail.
    ///
    /// # Errors
    /// Another process has it, or what is kept of it is damaged.
    pub async fn open(
        lead: &Agent,
        member: &Member,
        mailbox: Arc<dyn Mailbox>,
        news: News,
    ) -> Result<Self, MailError> {
        let name = member.name.clone();
        if name == lead.name {
            return Err(MailError::Refused(format!("a teammate cannot be called {name}")));
        }
        let mut agent = lead.child(ChildSpec::new(&name, ChildKind::Teammate));
        for tool in member.tools.iter().flatten() {
            let known = agent.tools.get(tool);
            known.map_err(|why| MailError::Refused(format!("the team's {name}: {why}")))?;
        }
        if let Some(tools) = member.tools.clone() {
            agent.tools.retain(move |tool| tools.iter().any(|it| it == tool));
        }
        agent.system.push(format!("{SYSTEM} Your name is {name}. {}", member.instructions.trim()));
        let record = || ConversationLog::resume(&lead.cwd, "team", &name);
        let (post, conversation) = Post::open(&name, mailbox, news, Done::Answered, record).await?;
        let post = Arc::new(post);
        agent.hooks.push(post.clone());
        Ok(Self { agent, lead: lead.name.clone(), post, conversation, state: Arc::default() })
    }

    /// Works off its mail until it is cancelled.
    pub async fn work(mut self, cancel: CancellationToken) {
        loop {
            while self.post.inbox().is_empty() {
                if !self.post.wait(&cancel).await {
                    return;
                }
            }
            if self.turn(&cancel).await.is_none() {
                return;
            }
        }
    }

    /// One turn: the oldest mail begins it, what comes meanwhile is read on the way, and all of it gets the
    /// answer. Only then is it acknowledged, so a crash before leads here again. `None`: cancelled.
    pub async fn turn(&mut self, cancel: &CancellationToken) -> Option<()> {
        let mail = self.post.begin(&mut self.conversation)?;
        let task = mail.asks().map_or(mail.body.as_str(), |(_, _, text)| text);
        let task = cut(&text::line(task), 60);
        self.set(State::Working(task.clone()));
        self.tell(Event::ChildStarted { child: self.agent.name.clone(), task });
        let ended = if answered(&self.conversation) {
            Ok(Ok(TurnOutcome::Answered(self.conversation.answered()))) // killed before it was sent
        } else {
            let turn = self.agent.run(&mut self.conversation, cancel);
            AssertUnwindSafe(turn).catch_unwind().await
        };
        let answer = match ended {
            Ok(Ok(TurnOutcome::Answered(answer))) if !answer.trim().is_empty() => Ok(answer),
            Ok(Ok(TurnOutcome::Answered(_))) => Err("it said nothing".to_owned()),
            Ok(Ok(TurnOutcome::Refused(why))) => Err(format!("the model declined: {why}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it panicked; this is a bug in the harness".to_owned()),
            Ok(Ok(TurnOutcome::Interrupted)) => {
                self.note("The program was left here. Go on with the mail.", cancel).await;
                return None;
            }
        };
        let plain = |text: String| {
            self.agent.secrets.mask(&text::clip(&text, LONGEST, LONGEST)).into_owned()
        };
        let answer = answer.map(plain).map_err(plain);
        if let Err(why) = &answer {
            self.note(&format!("This mail could not be answered: {why}"), cancel).await;
        }
        let outcome = answer.as_ref().err().map_or("answered", String::as_str).to_owned();
        self.tell(Event::ChildEnded { child: self.agent.name.clone(), outcome });
        let said = answer.as_deref().map_err(String::as_str);
        let done = self.post.answer(&self.conversation, said, cancel).await;
        self.set(answer.map_or_else(State::Failed, |_| State::Idle));
        done.then_some(())
    }

    fn set(&self, state: State) {
        *self.state.lock() = state;
    }

    fn tell(&self, event: Event) {
        self.agent.observers.emit(&self.lead, &event);
    }

    /// Adds a note between two turns, and keeps it.
    async fn note(&mut self, note: &str, cancel: &CancellationToken) {
        self.conversation.remind(note);
        let turn = HookContext { agent: &self.agent, cancel, why: HookReason::Step };
        if let Err(why) = self.post.persist(&self.conversation, &turn).await {
            self.post.news.add(why.to_string());
        }
    }
}

const SYSTEM: &str = "You are a teammate in a team of agents. Your work comes by mail, each mail with its id and \
    sender in the first line. Your last message is the answer to it, so make it whole: nobody sees your steps.";

/// Whether the model has had its last word.
fn answered(c: &Conversation) -> bool {
    let last = c.messages().last();
    last.is_some_and(|last| last.role == Role::Assistant && last.calls().next().is_none())
}
