//! Where requests are made, waited for and answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use harness_core::host::text;
use harness_core::mail::{FAILED, Mail, MailError, MailId, Post};
use harness_core::{Mutex, ToolContext, ToolError};
use s09_agent_teams::Teammate;
use tokio_util::sync::CancellationToken;

use crate::machine::{Desk, Guard, State, Step};
use crate::sequence::Arrow;

/// What is asked for, each with its version: a later one is refused, not guessed at.
pub(crate) const TASK: &str = "task/1";
pub(crate) const PLAN: &str = "plan/1";
pub(crate) const SHUTDOWN: &str = "shutdown/1";

/// What all who take part share in this process.
#[derive(Debug)]
pub(crate) struct Office {
    pub(crate) lead: String,
    pub(crate) seats: BTreeMap<String, Arc<Seat>>,
    /// Every request and answer so far.
    pub(crate) trace: Mutex<Vec<Arrow>>,
    pub(crate) patience: Duration,
}

/// One agent's place.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) desk: Desk,
    pub(crate) post: Arc<Post>,
    /// The plan that waits for a verdict.
    plan: Mutex<Option<Mail>>,
    /// The task for which its plan is approved.
    pub(crate) approved: Mutex<Option<MailId>>,
    /// The request that waits, and the guards of its exchange and of the one that is answered before.
    pub(crate) open: Mutex<Option<(Mail, Guard, Guard)>>,
    /// Cancelled when nobody sits here any more: it was shut down, or its task has died.
    gone: CancellationToken,
}

impl Seat {
    pub(crate) fn new(post: &Arc<Post>) -> (String, Arc<Self>) {
        let (plan, approved, open) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (desk, post, gone) = (Desk::default(), post.clone(), CancellationToken::new());
        (post.name.clone(), Arc::new(Self { desk, post, plan, approved, open, gone }))
    }

    /// The mail it works on: it stays in the inbox until it is answered.
    pub(crate) fn task(&self) -> Option<MailId> {
        self.post.inbox().into_iter().next().map(|mail| mail.id)
    }

    /// Whether its plan is approved, for the task that it has now.
    pub(crate) fn may_act(&self) -> bool {
        self.approved.lock().clone().is_some_and(|task| self.task() == Some(task))
    }
}

impl Office {
    pub(crate) fn seat(&self, name: &str) -> Result<&Arc<Seat>, ToolError> {
        let known = || self.seats.keys().cloned().collect();
        let unknown = || MailError::Unknown { name: name.to_owned(), known: known() };
        self.seats.get(name).ok_or_else(|| tell(unknown()))
    }

    /// Answers requests, in a task of its own, until it is told to end.
    pub(crate) async fn work(self: Arc<Self>, mut teammate: Teammate, stop: CancellationToken) {
        let Some(seat) = self.seats.get(&teammate.post.name) else { return };
        let (post, _gone) = (&seat.post, seat.gone.clone().drop_guard());
        while !stop.is_cancelled() {
            let Some(first) = post.inbox().into_iter().next() else {
                post.wait(&stop).await;
                continue;
            };
            let Ok(_guard) = seat.desk.begin(Step::Asked, &first.from) else { return };
            let (answer, ends) = match first.asks() {
                Some((_, Duration::ZERO, _)) => (format!("{FAILED}the deadline has passed"), false),
                Some((SHUTDOWN, ..)) => ("I have nothing open, and end.".to_owned(), true),
                Some((TASK, ..)) | None => (String::new(), false),
                Some((what, ..)) => (format!("{FAILED}{what} is nothing that I know"), false),
            };
            if !answer.is_empty() {
                post.send(&first.answer(answer), &stop).await;
                post.done(&[first.id]).await;
            } else if teammate.turn(&stop).await.is_none() {
                return;
            }
            *seat.approved.lock() = None;
            if seat.desk.step(Step::Responded).is_err() || ends {
                return;
            }
        }
    }

    /// Makes a request, and waits for its answer.
    pub(crate) async fn ask(
        &self,
        what: &str,
        to: &str,
        text: &str,
        cx: &ToolContext,
    ) -> Result<Mail, ToolError> {
        let (me, peer) = (self.seat(&cx.agent)?, self.seat(to)?);
        if peer.gone.is_cancelled() {
            return Err(tell(format!("{to} has ended; nobody reads its mail")));
        }
        if what != PLAN && (me.desk.is(State::Responding, to) || to == self.lead) {
            return Err(answer_first(to));
        }
        let outer = me.desk.begin(Step::Ask, to).map_err(tell)?;
        let mail = Mail::request(what, &cx.agent, to, &cx.secrets.mask(text), self.patience);
        *me.plan.lock() = (what == PLAN).then(|| mail.clone());
        self.draw(&mail);
        me.post.mailbox.send(mail.clone()).await.map_err(tell)?;
        me.desk.step(Step::Sent).map_err(tell)?;
        self.wait(me, mail, outer, cx).await
    }

    /// Waits for the answer to this request. Whoever waits for us meanwhile is answered first.
    pub(crate) async fn wait(
        &self,
        me: &Seat,
        mail: Mail,
        outer: Guard,
        cx: &ToolContext,
    ) -> Result<Mail, ToolError> {
        let (peer, late) = (self.seat(&mail.to)?, "its answer will come as mail");
        let left = mail.asks().map_or(Duration::ZERO, |(_, left, _)| left);
        let answers = |it: &Mail| it.in_reply_to.as_ref() == Some(&mail.id);
        let plan = |it: &Mail| peer.plan.lock().as_ref().is_some_and(|plan| plan.id == it.id);
        // Two that ask each other at once would both wait for ever: who comes later by name gives way.
        let crossed = |it: &Mail| {
            let asks_back = it.from == mail.to && it.from != self.lead && it.in_reply_to.is_none();
            asks_back && cx.agent > it.from && peer.desk.is(State::Waiting, &cx.agent)
        };
        let left_behind = async {
            peer.gone.cancelled().await;
            tokio::time::sleep(Duration::from_secs(1)).await; // its last word may be on its way
        };
        tokio::select! {
            it = me.post.first(|it| answers(it) || plan(it) || crossed(it)) => {
                if answers(&it) {
                    me.desk.step(Step::Answered).map_err(tell)?;
                    self.draw(&it);
                } else if plan(&it) {
                    let inner = me.desk.begin(Step::Asked, &it.from).map_err(tell)?;
                    *me.open.lock() = Some((mail, outer, inner));
                } else {
                    return Err(answer_first(&it.from));
                }
                Ok(it)
            }
            () = tokio::time::sleep(left) => {
                me.desk.step(Step::Expired).map_err(tell)?;
                Err(tell(format!("{} did not answer in time; {late}", mail.to)))
            }
            () = left_behind => Err(tell(format!("{} is gone", mail.to))),
            () = cx.cancel.cancelled() => Err(tell(format!("interrupted; {late}"))),
        }
    }

    /// The plan of this id, if its maker still waits. It then waits no more.
    pub(crate) fn take_plan(&self, id: &str) -> Result<Mail, ToolError> {
        let mut waiting = self.seats.values().filter(|it| it.desk.is(State::Waiting, &self.lead));
        let found = waiting.find_map(|it| it.plan.lock().take_if(|plan| plan.id.0 == id));
        found.ok_or_else(|| tell(format!("no plan {id:?} waits for a verdict")))
    }

    fn draw(&self, mail: &Mail) {
        let label =
            mail.asks().map(|(what, _, said)| format!("{}: {said}", what.trim_end_matches("/1")));
        let label = text::line(&label.unwrap_or_else(|| mail.body.clone()));
        let (from, to, answer) = (mail.from.clone(), mail.to.clone(), mail.in_reply_to.is_some());
        self.trace.lock().push(Arrow { from, to, label, answer });
    }
}

pub(crate) fn tell(why: impl std::fmt::Display) -> ToolError {
    ToolError::failed(why)
}

fn answer_first(peer: &str) -> ToolError {
    tell(format!("{peer} waits for your answer; answer it first"))
}
