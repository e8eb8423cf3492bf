#![doc = include_str!("../README.md")]
//!
//! Next page: [s10 · Team protocols](../s10_team_protocols/index.html)

mod command;
mod teammate;

use std::sync::Arc;
use std::time::Duration;

use harness_app::{App, Lesson};
use harness_core::mail::{Done, FAILED, Mail, MailError, Mailbox, News, Post, shown};
use harness_core::{
    Agent, Content, ConversationLog, Effect, Mechanism, Mutex, NoInput, Tool, ToolContext,
    ToolError,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use command::{Command, Flags, run, with_team};
pub use teammate::{Member, State, Teammate};

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "Mail is kept until it is safe with its reader.",
    play: include_str!("../demo.yaml"),
};

/// So long `send_to_teammate` waits for an answer, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(600);

/// The mechanism: teammates that work at the same time, and mail between them and the lead.
#[derive(Debug)]
pub struct Team {
    /// How long `send_to_teammate` waits for an answer. One that comes later comes as mail.
    pub patience: Duration,
    /// Those that are put to work in this process when the team is installed.
    pub teammates: Vec<Teammate>,
    /// What its tools know of it.
    pub staff: Arc<Staff>,
}

impl Mechanism for Team {
    fn install(self, agent: &mut Agent) {
        let Self { patience, staff, teammates } = self;
        let names = staff.members.iter().map(|(it, _)| format!("\n- {}: {}", it.name, it.about));
        agent.system.push(format!("{SYSTEM}{}", names.collect::<String>()));
        agent.tools.add(SendToTeammate(staff.clone(), patience));
        agent.tools.add(Broadcast(staff.clone()));
        agent.tools.add(ListTeammates(staff.clone()));
        agent.hooks.push(staff.post.clone());
        for teammate in teammates {
            staff.tasks.spawn(teammate.work(staff.stop.clone()));
        }
        let (post, stop) = (staff.post.clone(), staff.stop.clone());
        staff.tasks.spawn(async move { while post.wait(&stop).await {} });
    }
}

const SYSTEM: &str = "You lead a team. Each teammate works on its own, in this workspace, and knows only what its \
    mail says. send_to_teammate waits for the answer; broadcast does not, its answers come as mail. Your team:";

/// What the tools know of the team.
#[derive(Debug)]
pub struct Staff {
    /// The lead's mail.
    pub post: Arc<Post>,
    /// Ends those who work.
    pub stop: CancellationToken,
    /// Those who work.
    pub tasks: TaskTracker,
    members: Vec<(Member, Arc<Mutex<State>>)>,
}

impl Team {
    /// A team led by this agent. Each of `here` is a clone of it and runs in a task of this process. `news`:
    /// what the mailbox has to tell.
    ///
    /// # Errors
    /// The mailbox cannot be used, another process reads the team's mail, or a member cannot be made.
    pub async fn open(
        agent: &Agent,
        here: Vec<Member>,
        mailbox: Arc<dyn Mailbox>,
        news: News,
    ) -> Result<Self, MailError> {
        let record =
            || ConversationLog::begin(&agent.cwd, "team", &agent.name).map(|record| (record, ()));
        let (post, ()) =
            Post::open(&agent.name, mailbox.clone(), news.clone(), Done::Kept, record).await?;
        let (mut members, mut teammates) = (Vec::new(), Vec::new());
        for member in here {
            let (mailbox, news) = (mailbox.clone(), news.clone());
            let teammate = Teammate::open(agent, &member, mailbox, news).await?;
            members.push((member, teammate.state.clone()));
            teammates.push(teammate);
        }
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let staff = Arc::new(Staff { post: Arc::new(post), members, stop, tasks });
        Ok(Self { patience: PATIENCE, staff, teammates })
    }

    /// One more member, whom somebody else runs, in this process or another. `state` is what it does, as far
    /// as that is known.
    pub fn elsewhere(mut self, member: Member, state: Arc<Mutex<State>>) -> Self {
        if let Some(staff) = Arc::get_mut(&mut self.staff) {
            staff.members.push((member, state));
        }
        self
    }

    /// Joins the agent and the terminal: mail wakes the idle lead, and what is unfinished at the end is kept.
    pub fn join(self, app: App) -> App {
        let staff = self.staff.clone();
        staff.serve(app.with(self))
    }
}

impl Staff {
    fn names(&self) -> Vec<&str> {
        self.members.iter().map(|(member, _)| member.name.as_str()).collect()
    }

    /// A mail from the lead to a member.
    async fn send(&self, name: &str, message: &str, cx: &ToolContext) -> Result<Mail, ToolError> {
        if !self.names().contains(&name) {
            let known = self.names().join(", ");
            return Err(ToolError::failed(format!(
                "there is no teammate {name:?}; there is {known}"
            )));
        }
        let mail = Mail::new(&self.post.name, name, cx.secrets.mask(message));
        self.post.mailbox.send(mail.clone()).await.map_err(ToolError::failed)?;
        Ok(mail)
    }

    /// Wakes the idle lead of this app for mail, and ends its teammates with it. What they have not answered
    /// is kept, and they go on with it next time.
    pub fn serve(self: Arc<Self>, app: App) -> App {
        app.wake(self.post.wake.clone()).at_exit(move || async move {
            self.stop.cancel();
            self.tasks.close();
            let _ = tokio::time::timeout(Duration::from_secs(2), self.tasks.wait()).await;
        })
    }
}

/// What `send_to_teammate` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Letter {
    /// The teammate's name.
    name: String,
    /// The task, with everything one must know for it: nothing of this conversation is seen.
    message: String,
}

struct SendToTeammate(Arc<Staff>, Duration);

impl Tool for SendToTeammate {
    const NAME: &'static str = "send_to_teammate";
    const ABOUT: &'static str = "Sends a teammate a mail and waits for its answer.";
    type Input = Letter;

    /// Nothing by itself: each of the teammate's calls passes the same gate as yours.
    fn effect(&self, _: &Letter) -> Effect {
        Effect::Internal
    }

    async fn call(&self, input: Letter, cx: &ToolContext) -> Result<Content, ToolError> {
        let mail = self.0.send(&input.name, &input.message, cx).await?;
        let late = "its answer will come as mail";
        tokio::select! {
            answer = self.0.post.answer_to(&mail.id) => match answer.body.starts_with(FAILED) {
                true => Err(ToolError::Failed(shown(&answer))),
                false => Ok(shown(&answer).into()),
            },
            () = tokio::time::sleep(self.1) => Err(ToolError::Failed(format!(
                "{} did not answer mail {} within {:?}; {late}", input.name, mail.id, self.1
            ))),
            () = cx.cancel.cancelled() => Err(ToolError::Failed(format!("interrupted; {late}"))),
        }
    }
}

/// What `broadcast` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Message {
    /// What everybody is told.
    message: String,
}

struct Broadcast(Arc<Staff>);

impl Tool for Broadcast {
    const NAME: &'static str = "broadcast";
    const ABOUT: &'static str = "Sends all teammates a mail and waits for nobody.";
    type Input = Message;

    fn effect(&self, _: &Message) -> Effect {
        Effect::Internal
    }

    async fn call(&self, input: Message, cx: &ToolContext) -> Result<Content, ToolError> {
        let names = self.0.names();
        for name in &names {
            self.0.send(name, &input.message, cx).await?;
        }
        Ok(format!("sent to {}; their answers come as mail", names.join(", ")).into())
    }
}

struct ListTeammates(Arc<Staff>);

impl Tool for ListTeammates {
    const NAME: &'static str = "list_teammates";
    const ABOUT: &'static str = "Lists the teammates, what each does, and its unanswered mails.";
    type Input = NoInput;

    fn effect(&self, _: &NoInput) -> Effect {
        Effect::Internal
    }

    async fn call(&self, _: NoInput, _: &ToolContext) -> Result<Content, ToolError> {
        let mut lines = Vec::new();
        for (member, state) in &self.0.members {
            let waiting = self.0.post.mailbox.waiting(&member.name).await;
            let waiting = waiting.map_err(ToolError::failed)?;
            let state = state.lock().clone();
            let Member { name, about, .. } = member;
            lines.push(format!("{name} ({about}): {state}; mails not answered: {waiting}"));
        }
        Ok(lines.join("\n").into())
    }
}
