//! Where requests are made, waited for and answered.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use harness_cli::Arrow;
use harness_core::host::text;
use harness_core::{Mutex, ToolContext, ToolError};
use s09_agent_teams::Teammate;
use s09_agent_teams::mail::{Mail, MailClient, MailError, MailId, MailRequest};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::machine::{ExchangeGuard, Exchanges, Phase, Step};

/// How long the last word of a peer that has gone may be on its way.
const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(1);
/// What a request that was not answered is told to have.
const LATER: &str = "its answer will come as mail";

/// What may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Do this, and answer with what came of it.
    Task,
    /// May I do this?
    Plan,
    /// End when you have answered what came before.
    Shutdown,
}

impl Protocol {
    /// Its name in a request, with its version: a later version is refused, not guessed at.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Task => "task/1",
            Self::Plan => "plan/1",
            Self::Shutdown => "shutdown/1",
        }
    }

    fn of(request: &MailRequest) -> Option<Self> {
        let all = [Self::Task, Self::Plan, Self::Shutdown];
        all.into_iter().find(|protocol| protocol.name() == request.what)
    }
}

/// Whether a mail asks its reader to end.
pub(crate) fn is_shutdown(mail: &Mail) -> bool {
    mail.request.as_ref().and_then(Protocol::of) == Some(Protocol::Shutdown)
}

/// What all agents of the team share in this process.
#[derive(Debug)]
pub(crate) struct RequestBroker {
    pub(crate) lead: String,
    pub(crate) peers: BTreeMap<String, Arc<Peer>>,
    /// Every request and answer so far.
    pub(crate) trace: Mutex<Vec<Arrow>>,
    /// How long a request is good for.
    pub(crate) timeout: Duration,
}

/// One agent, as far as the protocols know it.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) mail: Arc<MailClient>,
    pub(crate) exchanges: Exchanges,
    /// Its plan that waits for a verdict.
    submitted: Mutex<Option<Mail>>,
    /// The task for which its plan is approved.
    approved: Mutex<Option<MailId>>,
    /// Its request that goes on when the plan for it is reviewed.
    under_review: Mutex<Option<UnderReview>>,
    /// Cancelled when it takes no more requests: it was shut down, or its task has died.
    gone: CancellationToken,
}

/// A request whose peer wants its plan reviewed before it answers: two open exchanges, one inside the other.
#[derive(Debug)]
pub(crate) struct UnderReview {
    pub(crate) request: Mail,
    /// The exchange in which we wait for the answer to the request.
    pub(crate) waiting: ExchangeGuard,
    /// The exchange in which we are asked for a verdict.
    pub(crate) review: ExchangeGuard,
}

/// What may end a wait for an answer.
enum Incoming {
    /// The answer.
    Answer(Mail),
    /// The plan for what was asked: it is to be reviewed first.
    Plan(Mail),
    /// A request of the peer, which waits for us: of two that ask each other at once, one has to give way.
    CrossingRequest,
}

/// What a teammate does about a mail.
enum Reaction {
    /// Its agent takes a turn, and answers.
    Turn,
    /// It says why it does not.
    Refuse(String),
    /// It says goodbye, and ends.
    End,
}

impl Peer {
    pub(crate) fn new(mail: &Arc<MailClient>) -> Self {
        Self {
            mail: mail.clone(),
            exchanges: Exchanges::default(),
            submitted: Mutex::default(),
            approved: Mutex::default(),
            under_review: Mutex::default(),
            gone: CancellationToken::new(),
        }
    }

    /// The mail it works on: it stays in the inbox until it is answered.
    pub(crate) fn task(&self) -> Option<MailId> {
        self.mail.inbox().into_iter().next().map(|mail| mail.id)
    }

    /// Its plan for this task was approved.
    pub(crate) fn approve(&self, task: Option<MailId>) {
        *self.approved.lock() = task;
    }

    /// Whether its plan is approved, for the task that it has now.
    pub(crate) fn may_act(&self) -> bool {
        let approved = self.approved.lock().clone();
        approved.is_some() && approved == self.task()
    }

    /// Its request to this peer that is under review. A request to another peer that was, is over.
    pub(crate) fn take_request_to(&self, peer: &str) -> Option<UnderReview> {
        let under_review = self.under_review.lock().take()?;
        (under_review.request.to == peer).then_some(under_review)
    }

    /// Its turn is over: what is still under review has no one to go on with it. The answer comes as mail.
    pub(crate) fn end_turn(&self) {
        *self.under_review.lock() = None;
    }
}

/// What teammates do with requests.
impl RequestBroker {
    /// Answers requests, in a task of its own, until it is told to end.
    pub(crate) async fn serve(self: Arc<Self>, mut teammate: Teammate, stop: CancellationToken) {
        let Some(peer) = self.peers.get(&teammate.mail.name) else { return };
        let _gone = peer.gone.clone().drop_guard();
        while !stop.is_cancelled() {
            let Some(first) = peer.mail.inbox().into_iter().next() else {
                peer.mail.wait_for_mail(&stop).await;
                continue;
            };
            let Ok(_exchange) = peer.exchanges.begin(Step::Asked, &first.from) else { return };
            let reaction = reaction_to(&first);
            match &reaction {
                Reaction::Turn => {
                    if teammate.turn(&stop).await.is_none() {
                        return;
                    }
                }
                Reaction::Refuse(why) => peer.reply(&first, &first.failure(why), &stop).await,
                Reaction::End => {
                    let goodbye = first.answer("I have nothing open, and end.");
                    peer.reply(&first, &goodbye, &stop).await;
                }
            }
            peer.approve(None); // an approval is for one task
            if peer.exchanges.step(Step::Responded).is_err() {
                return;
            }
            if matches!(reaction, Reaction::End) {
                return;
            }
        }
    }
}

fn reaction_to(mail: &Mail) -> Reaction {
    let Some(request) = &mail.request else { return Reaction::Turn };
    if request.time_left().is_zero() {
        return Reaction::Refuse("the deadline has passed".to_owned());
    }
    match Protocol::of(request) {
        Some(Protocol::Task) => Reaction::Turn,
        Some(Protocol::Shutdown) => Reaction::End,
        Some(Protocol::Plan) | None => {
            Reaction::Refuse(format!("{} is not a request that I can answer", request.what))
        }
    }
}

impl Peer {
    /// Answers a mail without a turn.
    async fn reply(&self, mail: &Mail, answer: &Mail, stop: &CancellationToken) {
        self.mail.send_with_retry(answer, stop).await;
        self.mail.acknowledge(std::slice::from_ref(&mail.id)).await;
    }
}

/// Asking, and waiting for the answer.
impl RequestBroker {
    pub(crate) fn peer(&self, name: &str) -> Result<&Arc<Peer>, ToolError> {
        self.peers.get(name).ok_or_else(|| {
            let known = self.peers.keys().cloned().collect();
            failed(MailError::Unknown { name: name.to_owned(), known })
        })
    }

    /// Makes a request, and waits for its answer.
    pub(crate) async fn ask(
        &self,
        protocol: Protocol,
        to: &str,
        text: &str,
        cx: &ToolContext,
    ) -> Result<Mail, ToolError> {
        let me = self.peer(&cx.agent)?;
        self.check_can_ask(me, protocol, to)?;
        let waiting = me.exchanges.begin(Step::Ask, to).map_err(failed)?;
        let text = cx.secrets.mask(text);
        let request = Mail::new(&cx.agent, to, text).asking(protocol.name(), self.timeout);
        if protocol == Protocol::Plan {
            *me.submitted.lock() = Some(request.clone());
        } else {
            *me.submitted.lock() = None;
        }
        self.draw(&request);
        me.mail.mailbox.send(request.clone()).await.map_err(failed)?;
        me.exchanges.step(Step::Sent).map_err(failed)?;
        self.wait(me, request, waiting, cx).await
    }

    /// A peer that waits for us is answered first: it cannot do anything else for us. Only for a plan that does
    /// not hold: the lead waits for the work, and the plan is part of it.
    fn check_can_ask(&self, me: &Peer, protocol: Protocol, to: &str) -> Result<(), ToolError> {
        if self.peer(to)?.gone.is_cancelled() {
            return Err(failed(format!("{to} has ended; nobody reads its mail")));
        }
        let waits_for_us = me.exchanges.has(Phase::Responding, to) || to == self.lead;
        if waits_for_us && protocol != Protocol::Plan {
            return Err(answer_first(to));
        }
        Ok(())
    }

    /// Waits for the answer to this request; `waiting` is its exchange. A peer that waits for us meanwhile is
    /// answered first.
    pub(crate) async fn wait(
        &self,
        me: &Peer,
        request: Mail,
        waiting: ExchangeGuard,
        cx: &ToolContext,
    ) -> Result<Mail, ToolError> {
        let peer = self.peer(&request.to)?;
        let time_left = request.request.as_ref().map_or(Duration::ZERO, MailRequest::time_left);
        tokio::select! {
            incoming = me.mail.wait_for(|mail| self.incoming(mail, &request, peer)) => {
                self.take(me, incoming, request, waiting)
            }
            () = sleep(time_left) => {
                me.exchanges.step(Step::Expired).map_err(failed)?;
                Err(failed(format!("{} did not answer in time; {LATER}", request.to)))
            }
            () = peer.has_gone() => Err(failed(format!("{} is gone", request.to))),
            () = cx.cancel.cancelled() => Err(failed(format!("interrupted; {LATER}"))),
        }
    }

    /// What a mail means for an agent that waits for the answer to this request; nothing, mostly.
    fn incoming(&self, mail: &Mail, request: &Mail, peer: &Peer) -> Option<Incoming> {
        if mail.in_reply_to.as_ref() == Some(&request.id) {
            return Some(Incoming::Answer(mail.clone()));
        }
        if peer.submitted.lock().as_ref().is_some_and(|plan| plan.id == mail.id) {
            return Some(Incoming::Plan(mail.clone()));
        }
        self.crosses(mail, request, peer).then_some(Incoming::CrossingRequest)
    }

    /// Whether this mail is a request of the peer that we have asked, sent at the same moment. Two that ask each
    /// other would both wait; so the one whose name is later in the alphabet gives way. The lead never does: it
    /// is asked for plans only.
    fn crosses(&self, mail: &Mail, request: &Mail, peer: &Peer) -> bool {
        let me = &request.from;
        let is_peers_request = mail.from == request.to && mail.in_reply_to.is_none();
        let gives_way = mail.from != self.lead && *me > mail.from;
        is_peers_request && gives_way && peer.exchanges.has(Phase::Waiting, me)
    }

    fn take(
        &self,
        me: &Peer,
        incoming: Incoming,
        request: Mail,
        waiting: ExchangeGuard,
    ) -> Result<Mail, ToolError> {
        match incoming {
            Incoming::Answer(answer) => {
                me.exchanges.step(Step::Answered).map_err(failed)?;
                self.draw(&answer);
                Ok(answer)
            }
            Incoming::Plan(plan) => {
                let review = me.exchanges.begin(Step::Asked, &plan.from).map_err(failed)?;
                *me.under_review.lock() = Some(UnderReview { request, waiting, review });
                Ok(plan)
            }
            Incoming::CrossingRequest => Err(answer_first(&request.to)),
        }
    }

    /// The plan of this id, if its maker still waits. It then waits for no other verdict.
    pub(crate) fn take_plan(&self, id: &str) -> Result<Mail, ToolError> {
        for peer in self.peers.values() {
            if !peer.exchanges.has(Phase::Waiting, &self.lead) {
                continue;
            }
            if let Some(plan) = peer.submitted.lock().take_if(|plan| plan.id.0 == id) {
                return Ok(plan);
            }
        }
        Err(failed(format!("no plan {id:?} waits for a verdict")))
    }

    /// Adds a request or an answer to the trace.
    fn draw(&self, mail: &Mail) {
        let label = match &mail.request {
            Some(request) => format!("{}: {}", request.what.trim_end_matches("/1"), mail.body),
            None => mail.text(),
        };
        self.trace.lock().push(Arrow {
            from: mail.from.clone(),
            to: mail.to.clone(),
            label: text::line(&label),
            answer: mail.in_reply_to.is_some(),
        });
    }
}

impl Peer {
    /// Waits until it takes no more requests, and its last word has come.
    async fn has_gone(&self) {
        self.gone.cancelled().await;
        sleep(LAST_WORD_TIMEOUT).await;
    }
}

pub(crate) fn failed(why: impl Display) -> ToolError {
    ToolError::failed(why)
}

fn answer_first(peer: &str) -> ToolError {
    failed(format!("{peer} waits for your answer; answer it first"))
}
