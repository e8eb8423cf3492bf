//! One teammate: a child of the agent that works off its mail, in a task of its own.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::FutureExt;
use harness_cli::cut;
use harness_core::host::text;
use harness_core::{
    Agent, AgentError, ChildKind, ChildSpec, Conversation, ConversationLog, Event, Hook,
    HookContext, HookReason, Mutex, Role, TurnOutcome,
};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::mail::{Acknowledge, Mail, MailClient, MailError, MailNotices, Mailbox};

/// The most bytes that are kept of each end of an answer.
const MAX_ANSWER_BYTES: usize = 60_000;
/// The most columns of a task where it is named in a line.
const TASK_COLUMNS: usize = 60;

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
        serde_yaml::from_str(yaml).with_context(|| format!("{file} does not describe a team"))
    }
}

/// What a teammate does now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TeammateStatus {
    /// It waits for mail.
    #[default]
    Idle,
    /// It works on this task.
    Working(String),
    /// It could not answer its last mail, for this reason, and waits for the next.
    Failed(String),
    /// It runs in another process; what it does is not known here.
    Elsewhere,
}

impl fmt::Display for TeammateStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("idle"),
            Self::Working(task) => write!(f, "working on “{task}”"),
            Self::Failed(why) => write!(f, "idle, its last mail failed: {why}"),
            Self::Elsewhere => f.write_str("in another process"),
        }
    }
}

/// A teammate. Its conversation is on disk, so it goes on where it was when the program was killed.
pub struct Teammate {
    /// What it is: a child of the lead.
    pub agent: Agent,
    /// Its mail.
    pub mail: Arc<MailClient>,
    /// What it does, for those who ask while it works.
    pub status: Arc<Mutex<TeammateStatus>>,
    member: Member,
    /// What others add to the child, each time it is made.
    shapes: Vec<Shape>,
    lead: String,
    conversation: Conversation,
}

/// Changes a teammate's agent.
type Shape = Box<dyn Fn(&mut Agent) + Send + Sync>;

impl fmt::Debug for Teammate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Teammate").field("agent", &self.agent).finish_non_exhaustive()
    }
}

/// How the run of an agent ended; `Err` is the value of a panic.
type Ended = Result<Result<TurnOutcome, AgentError>, Box<dyn Any + Send>>;

/// What a turn came to.
enum Answer {
    /// The last message of the agent.
    Given(String),
    /// There is none, for this reason.
    Failed(String),
    /// The turn was cancelled.
    Interrupted,
}

impl Teammate {
    /// Makes one of an agent, and takes the lease of its mail.
    ///
    /// # Errors
    /// The member's name or tools cannot be used, another process has the lease, or what is kept of its
    /// conversation is damaged.
    pub async fn open(
        lead: &Agent,
        member: &Member,
        mailbox: Arc<dyn Mailbox>,
        notices: MailNotices,
    ) -> Result<Self, MailError> {
        let mut agent = child_for(lead, member)?;
        let log = || ConversationLog::resume(&lead.cwd, "team", &member.name);
        let opened =
            MailClient::open(&member.name, mailbox, notices, Acknowledge::WhenAnswered, log).await;
        let (mail, conversation) = opened?;
        let mail = Arc::new(mail);
        agent.hooks.push(mail.clone());
        Ok(Self {
            agent,
            mail,
            status: Arc::default(),
            member: member.clone(),
            shapes: Vec::new(),
            lead: lead.name.clone(),
            conversation,
        })
    }

    /// Changes its agent: now, and each time it is made anew.
    pub fn shape(&mut self, shape: impl Fn(&mut Agent) + Send + Sync + 'static) {
        shape(&mut self.agent);
        self.shapes.push(Box::new(shape));
    }

    /// Makes its agent anew, as a child of the lead as it is now: what was installed since then reaches it, too.
    ///
    /// # Errors
    /// The member names a tool that the lead does not have.
    pub fn join(&mut self, lead: &Agent) -> Result<(), MailError> {
        self.agent = child_for(lead, &self.member)?;
        self.agent.hooks.push(self.mail.clone());
        for shape in &self.shapes {
            shape(&mut self.agent);
        }
        Ok(())
    }

    /// Works off its mail until it is cancelled.
    pub async fn work(mut self, cancel: CancellationToken) {
        loop {
            while self.mail.inbox().is_empty() {
                if !self.mail.wait_for_mail(&cancel).await {
                    return;
                }
            }
            if self.turn(&cancel).await.is_none() {
                return;
            }
        }
    }

    /// One turn: the oldest mail begins it, what comes meanwhile is read on the way, and all of it gets the
    /// answer. Only then is it acknowledged, so a crash before that leads here again. `None` if it was
    /// cancelled.
    pub async fn turn(&mut self, cancel: &CancellationToken) -> Option<()> {
        let mail = self.mail.deliver_oldest(&mut self.conversation)?;
        self.begin(task_of(&mail));
        let ended = self.run(cancel).await;
        let answer = match answer_of(ended) {
            Answer::Given(answer) => Ok(self.presentable(&answer)),
            Answer::Failed(why) => Err(self.presentable(&why)),
            Answer::Interrupted => {
                self.note("The program was left here. Go on with the mail.", cancel).await;
                return None;
            }
        };
        if let Err(why) = &answer {
            self.note(&format!("This mail could not be answered: {why}"), cancel).await;
        }
        self.emit_ended(&answer);
        let answer_or_reason = answer.as_deref().map_err(String::as_str);
        let sent = self.mail.answer_delivered(&self.conversation, answer_or_reason, cancel).await;
        self.set_status(match answer {
            Ok(_) => TeammateStatus::Idle,
            Err(why) => TeammateStatus::Failed(why),
        });
        sent.then_some(())
    }

    fn begin(&self, task: String) {
        self.set_status(TeammateStatus::Working(task.clone()));
        self.emit(Event::ChildStarted { child: self.agent.name.clone(), task });
    }

    /// Runs the loop. A teammate that was killed between its last word and the sending of it has nothing more
    /// to do.
    async fn run(&mut self, cancel: &CancellationToken) -> Ended {
        if has_last_word(&self.conversation) {
            return Ok(Ok(TurnOutcome::Answered(self.conversation.answered())));
        }
        let turn = self.agent.run(&mut self.conversation, cancel);
        AssertUnwindSafe(turn).catch_unwind().await
    }

    /// Without secrets, and not too long.
    fn presentable(&self, text: &str) -> String {
        let clipped = text::clip(text, MAX_ANSWER_BYTES, MAX_ANSWER_BYTES);
        self.agent.secrets.mask(&clipped).into_owned()
    }

    fn emit_ended(&self, answer: &Result<String, String>) {
        let outcome = match answer {
            Ok(_) => "answered".to_owned(),
            Err(why) => why.clone(),
        };
        self.emit(Event::ChildEnded { child: self.agent.name.clone(), outcome });
    }

    fn set_status(&self, status: TeammateStatus) {
        *self.status.lock() = status;
    }

    /// A teammate's beginning and end are told as events of its lead.
    fn emit(&self, event: Event) {
        self.agent.observers.emit(&self.lead, &event);
    }

    /// Adds a note between two turns, and persists it.
    async fn note(&mut self, note: &str, cancel: &CancellationToken) {
        self.conversation.remind(note);
        let turn = HookContext { agent: &self.agent, cancel, why: HookReason::Step };
        if let Err(why) = self.mail.persist(&self.conversation, &turn).await {
            self.mail.notices.add(why.to_string());
        }
    }
}

const SYSTEM: &str = "You are a teammate in a team of agents. Your work comes by mail, each mail with its id and \
    sender in the first line. Your last message is the answer to it, so make it whole: nobody sees your steps.";

/// A child of the lead with fewer tools, and the member's instructions.
fn child_for(lead: &Agent, member: &Member) -> Result<Agent, MailError> {
    let name = &member.name;
    if *name == lead.name {
        return Err(MailError::refused(format!("a teammate cannot be called {name}")));
    }
    let mut agent = lead.child(ChildSpec::new(name, ChildKind::Teammate));
    if let Some(tools) = member.tools.clone() {
        for tool in &tools {
            if let Err(why) = agent.tools.get(tool) {
                return Err(MailError::refused(format!("the team's {name}: {why}")));
            }
        }
        agent.tools.retain(move |tool| tools.iter().any(|it| it == tool));
    }
    agent.system.push(format!("{SYSTEM} Your name is {name}. {}", member.instructions.trim()));
    Ok(agent)
}

/// What a mail asks for, in a line.
fn task_of(mail: &Mail) -> String {
    cut(&text::line(&mail.body), TASK_COLUMNS)
}

/// What the end of a turn means for those who wait for an answer.
fn answer_of(ended: Ended) -> Answer {
    let Ok(ended) = ended else {
        return Answer::Failed("it panicked; this is a bug in the harness".to_owned());
    };
    match ended {
        Ok(TurnOutcome::Answered(answer)) if answer.trim().is_empty() => {
            Answer::Failed("it said nothing".to_owned())
        }
        Ok(TurnOutcome::Answered(answer)) => Answer::Given(answer),
        Ok(TurnOutcome::Refused(why)) => Answer::Failed(format!("the model declined: {why}")),
        Ok(TurnOutcome::Interrupted) => Answer::Interrupted,
        Err(error) => Answer::Failed(error.to_string()),
    }
}

/// Whether the model has had its last word.
fn has_last_word(c: &Conversation) -> bool {
    let Some(last) = c.messages().last() else { return false };
    last.role == Role::Assistant && last.calls().next().is_none()
}
