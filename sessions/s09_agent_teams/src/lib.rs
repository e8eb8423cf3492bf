#![doc = include_str!("../README.md")]
//!
//! Next page: [s10 · Team protocols](../s10_team_protocols/index.html)

mod command;
pub mod mail;
mod teammate;

use std::sync::Arc;
use std::time::Duration;

use harness_app::{App, Lesson};
use harness_core::{
    Agent, Content, ConversationLog, Effect, Mechanism, Mutex, NoInput, Tool, ToolContext,
    ToolError,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use command::{Command, Flags, run, with_team};
pub use teammate::{Member, Teammate, TeammateStatus};

use mail::{Acknowledge, Mail, MailClient, MailError, MailNotices, Mailbox, as_result};

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "Mail is kept until it is safe with its reader.",
    play: include_str!("../demo.yaml"),
};

/// How long `send_to_teammate` waits for an answer, unless a team says otherwise.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);
/// How long the end of the program waits for teammates to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// The mechanism: teammates that work at the same time, and mail between them and the lead.
#[derive(Debug)]
pub struct Team {
    /// How long `send_to_teammate` waits for an answer. One that comes later comes as mail.
    pub answer_timeout: Duration,
    /// The teammates that start to work in this process when the team is installed.
    pub teammates: Vec<Teammate>,
    /// What the tools know of the team.
    pub staff: Arc<Staff>,
}

/// What the tools know of the team.
#[derive(Debug)]
pub struct Staff {
    /// The lead's mail.
    pub mail: Arc<MailClient>,
    /// Ends the tasks of the team.
    pub stop: CancellationToken,
    /// The tasks of the team: a task for each teammate, and one that receives the lead's mail.
    pub tasks: TaskTracker,
    members: Vec<(Member, Arc<Mutex<TeammateStatus>>)>,
}

impl Team {
    /// A team led by this agent. Each of `members` is a child of it and runs in a task of this process.
    /// `notices`: what the mailbox has to tell.
    ///
    /// # Errors
    /// The mailbox cannot be used, another process reads the team's mail, or a member cannot be made.
    pub async fn open(
        agent: &Agent,
        members: Vec<Member>,
        mailbox: Arc<dyn Mailbox>,
        notices: MailNotices,
    ) -> Result<Self, MailError> {
        let mail = leads_mail(agent, mailbox.clone(), notices.clone()).await?;
        let mut known = Vec::new();
        let mut teammates = Vec::new();
        for member in members {
            let teammate = Teammate::open(agent, &member, mailbox.clone(), notices.clone()).await?;
            known.push((member, teammate.status.clone()));
            teammates.push(teammate);
        }
        let staff = Staff {
            mail: Arc::new(mail),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            members: known,
        };
        Ok(Self { answer_timeout: ANSWER_TIMEOUT, teammates, staff: Arc::new(staff) })
    }

    /// One more member, which somebody else runs, in this process or another. `status` is what it does, as far
    /// as that is known.
    pub fn with_remote(mut self, member: Member, status: Arc<Mutex<TeammateStatus>>) -> Self {
        if let Some(staff) = Arc::get_mut(&mut self.staff) {
            staff.members.push((member, status));
        }
        self
    }

    /// Joins the agent and the terminal: mail wakes the idle lead, and what is unfinished at the end is kept. The
    /// teammates begin when the lead is complete, so that they have all that it has.
    pub fn join(mut self, app: App) -> App {
        let staff = self.staff.clone();
        let teammates = std::mem::take(&mut self.teammates);
        let app = app.with(self);
        let begin = {
            let staff = staff.clone();
            move |lead: &Agent| {
                for teammate in teammates {
                    staff.begin(teammate, lead, Teammate::work);
                }
            }
        };
        staff.serve(app.at_start(begin))
    }
}

/// The lead's mail is acknowledged once the lead's conversation is on disk: a person talks to the lead, and
/// mail needs no other answer than what the lead does next.
async fn leads_mail(
    lead: &Agent,
    mailbox: Arc<dyn Mailbox>,
    notices: MailNotices,
) -> Result<MailClient, MailError> {
    let log = || ConversationLog::begin(&lead.cwd, "team", &lead.name).map(|log| (log, ()));
    let (mail, ()) =
        MailClient::open(&lead.name, mailbox, notices, Acknowledge::WhenSaved, log).await?;
    Ok(mail)
}

impl Mechanism for Team {
    fn install(self, agent: &mut Agent) {
        let Self { answer_timeout, staff, teammates } = self;
        agent.system.push(format!("{SYSTEM}{}", staff.described()));
        agent.tools.add(SendToTeammate { staff: staff.clone(), answer_timeout });
        agent.tools.add(Broadcast(staff.clone()));
        agent.tools.add(ListTeammates(staff.clone()));
        agent.hooks.push(staff.mail.clone());
        for teammate in teammates {
            staff.tasks.spawn(teammate.work(staff.stop.clone()));
        }
        // An idle lead has nobody who receives its mail, and so nobody who would wake it.
        let mail = staff.mail.clone();
        let stop = staff.stop.clone();
        staff.tasks.spawn(async move { while mail.wait_for_mail(&stop).await {} });
    }
}

const SYSTEM: &str = "You lead a team. Each teammate works on its own, in this workspace, and knows only what its \
    mail says. send_to_teammate waits for the answer; broadcast does not, its answers come as mail. Your team:";

impl Staff {
    fn names(&self) -> Vec<&str> {
        self.members.iter().map(|(member, _)| member.name.as_str()).collect()
    }

    /// The members as the lead reads of them, a line each.
    fn described(&self) -> String {
        self.members.iter().map(|(it, _)| format!("\n- {}: {}", it.name, it.about)).collect()
    }

    /// Sends a mail from the lead to a member.
    async fn send(&self, name: &str, message: &str, cx: &ToolContext) -> Result<Mail, ToolError> {
        let names = self.names();
        if !names.contains(&name) {
            let names = names.join(", ");
            return Err(ToolError::failed(format!(
                "there is no teammate {name:?}; available: {names}"
            )));
        }
        let mail = Mail::new(&self.mail.name, name, cx.secrets.mask(message));
        self.mail.mailbox.send(mail.clone()).await.map_err(ToolError::failed)?;
        Ok(mail)
    }

    /// Puts a teammate to work, as a child of the lead as it is now. One that cannot be made is told of.
    pub fn begin<W>(
        &self,
        mut teammate: Teammate,
        lead: &Agent,
        work: impl FnOnce(Teammate, CancellationToken) -> W,
    ) where
        W: Future<Output = ()> + Send + 'static,
    {
        match teammate.join(lead) {
            Ok(()) => drop(self.tasks.spawn(work(teammate, self.stop.clone()))),
            Err(why) => self.mail.notices.add(why.to_string()),
        }
    }

    /// Wakes the idle lead of this app for mail, and ends its teammates with it. What they have not answered
    /// is kept, and they go on with it next time.
    pub fn serve(self: Arc<Self>, app: App) -> App {
        app.wake(self.mail.wake.clone()).at_exit(move || async move {
            self.stop.cancel();
            self.tasks.close();
            let _ = tokio::time::timeout(STOP_TIMEOUT, self.tasks.wait()).await;
        })
    }
}

/// What `send_to_teammate` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SendInput {
    /// The teammate's name.
    name: String,
    /// The task, with everything one must know for it: nothing of this conversation is seen.
    message: String,
}

struct SendToTeammate {
    staff: Arc<Staff>,
    answer_timeout: Duration,
}

impl Tool for SendToTeammate {
    const NAME: &'static str = "send_to_teammate";
    const ABOUT: &'static str = "Sends a teammate a mail and waits for its answer.";
    type Input = SendInput;

    /// Nothing by itself: each of the teammate's calls passes the same gate as yours.
    fn effect(&self, _: &SendInput) -> Effect {
        Effect::Internal
    }

    async fn call(&self, input: SendInput, cx: &ToolContext) -> Result<Content, ToolError> {
        let SendInput { name, message } = input;
        let mail = self.staff.send(&name, &message, cx).await?;
        let later = "its answer will come as mail";
        tokio::select! {
            answer = self.staff.mail.wait_for_answer(&mail.id) => as_result(&answer, cx),
            () = tokio::time::sleep(self.answer_timeout) => Err(ToolError::failed(format!(
                "{name} did not answer mail {} within {:?}; {later}",
                mail.id, self.answer_timeout
            ))),
            () = cx.cancel.cancelled() => Err(ToolError::failed(format!("interrupted; {later}"))),
        }
    }
}

/// What `broadcast` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BroadcastInput {
    /// What everybody is told.
    message: String,
}

struct Broadcast(Arc<Staff>);

impl Tool for Broadcast {
    const NAME: &'static str = "broadcast";
    const ABOUT: &'static str = "Sends all teammates a mail, and does not wait for answers.";
    type Input = BroadcastInput;

    fn effect(&self, _: &BroadcastInput) -> Effect {
        Effect::Internal
    }

    async fn call(&self, input: BroadcastInput, cx: &ToolContext) -> Result<Content, ToolError> {
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
        let mailbox = &self.0.mail.mailbox;
        let mut lines = Vec::new();
        for (member, status) in &self.0.members {
            let Member { name, about, .. } = member;
            let open = mailbox.unacknowledged(name).await.map_err(ToolError::failed)?;
            let status = status.lock().clone();
            lines.push(format!("{name} ({about}): {status}; mails not answered: {open}"));
        }
        Ok(lines.join("\n").into())
    }
}
