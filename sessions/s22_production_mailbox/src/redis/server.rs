//! One Redis: its address without the password, requests that end, and a connection that comes back.

use std::time::Duration;

use harness_core::Mutex;
use harness_core::host::text;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, Value};
use s09_agent_teams::mail::{MailError, MailNotices};
use tokio::time::{Instant, sleep, timeout};

/// How long connecting may take. On a machine without Redis this is what the start costs at most.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an answer may take. The package's own half second is too short for a mail of megabytes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The wait before the second retry of a request (the first has none); it doubles with each.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
/// The longest wait between two retries of a request.
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// Why there is no Redis to use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRedis {
    /// Nobody answers there. That is no mistake: one can do without.
    #[error("{0}")]
    Away(String),
    /// Somebody answers and does not let us in, or the address cannot be used.
    #[error("{0}")]
    Refused(String),
}

/// A server and the connection to it. A request may be sent twice, so each is made so that this does no harm.
pub(crate) struct Server {
    pub(crate) client: Client,
    /// The address without its password.
    pub(crate) shown: String,
    /// Sent on each new connection. Its answer is a number: how much of ours was missing there.
    greeting: Cmd,
    notices: MailNotices,
    connection: tokio::sync::Mutex<Connection>,
    /// Since when the server is away.
    lost: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Connection {
    open: Option<MultiplexedConnection>,
    /// How many were opened before and with this one: an error of an earlier one does not close this one.
    count: usize,
}

impl std::fmt::Debug for Server {
    /// Without the client, which knows the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("shown", &self.shown).finish_non_exhaustive()
    }
}

/// Looks whether there is a Redis that lets us in, and returns its address without the password. Changes
/// nothing there.
///
/// # Errors
/// There is none, or it does not let us in.
pub async fn probe(url: &str) -> Result<String, NoRedis> {
    let server = Server::connect(url, redis::cmd("PING"), MailNotices::default()).await?;
    Ok(server.shown)
}

impl Server {
    /// Connects, with one attempt.
    pub(crate) async fn connect(
        url: &str,
        greeting: Cmd,
        notices: MailNotices,
    ) -> Result<Self, NoRedis> {
        let shown = without_password(url);
        let client = Client::open(url).map_err(|why| {
            NoRedis::Refused(format!("{shown} is not the address of a Redis: {}", plain(&why)))
        })?;
        let server = Self {
            client,
            shown,
            greeting,
            notices,
            connection: tokio::sync::Mutex::default(),
            lost: Mutex::default(),
        };
        let Err(why) = server.open().await else { return Ok(server) };
        if why.kind() == ErrorKind::Parse {
            return Err(NoRedis::Refused(format!(
                "what answers at {} is not a Redis",
                server.shown
            )));
        }
        if is_temporary(&why) {
            return Err(NoRedis::Away(format!("no Redis at {}: {}", server.shown, plain(&why))));
        }
        Err(NoRedis::Refused(server.explain(&why)))
    }

    /// Sends a request; while the server is away it is tried again, for at most this long.
    pub(crate) async fn ask<T: FromRedisValue>(
        &self,
        request: &Cmd,
        limit: Duration,
    ) -> Result<T, MailError> {
        let begun = Instant::now();
        let mut backoff = Duration::ZERO;
        loop {
            let answer = self.once(request).await;
            let why = match answer.and_then(|value| Ok(T::from_redis_value(value)?)) {
                Ok(found) => return Ok(found),
                Err(why) => why,
            };
            // The first error may only say that the server was restarted since: it is tried again at once,
            // whatever the limit.
            let is_first = backoff.is_zero();
            let is_too_late = !is_first && begun.elapsed() + backoff > limit;
            if !is_temporary(&why) || is_too_late {
                return Err(MailError::Store(self.explain(&why)));
            }
            sleep(backoff).await;
            backoff = (backoff * 2).clamp(FIRST_BACKOFF, MAX_BACKOFF);
        }
    }

    /// Sends a request, with one attempt.
    pub(crate) async fn once(&self, request: &Cmd) -> Result<Value, RedisError> {
        let opened = self.open().await;
        let (mut connection, count) = opened.inspect_err(|why| self.note_loss(why))?;
        let answer: Result<Value, _> = request.query_async(&mut connection).await;
        match &answer {
            Err(why) if is_temporary(why) => self.close(count, why).await,
            _ => self.note_return(),
        }
        answer
    }

    /// Closes this connection, unless it was replaced meanwhile. Also after a mere timeout: the next answer on
    /// it could be the one that came too late.
    async fn close(&self, count: usize, why: &RedisError) {
        let mut connection = self.connection.lock().await;
        if connection.count == count {
            connection.open = None;
            self.note_loss(why);
        }
    }

    /// The connection, and its number.
    async fn open(&self) -> Result<(MultiplexedConnection, usize), RedisError> {
        let mut connection = self.connection.lock().await;
        if let Some(open) = &connection.open {
            return Ok((open.clone(), connection.count));
        }
        let (open, missing) = within(CONNECT_TIMEOUT, self.greet()).await?;
        let is_first = connection.count == 0;
        if !is_first && missing != Value::Int(0) {
            let shown = &self.shown;
            self.notices.add(format!("{shown} came back empty: mail that waited there is gone"));
        }
        let count = connection.count + 1;
        *connection = Connection { open: Some(open.clone()), count };
        Ok((open, count))
    }

    /// A new connection, and the answer to the greeting.
    async fn greet(&self) -> Result<(MultiplexedConnection, Value), RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT));
        let mut open = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let missing: Value = self.greeting.query_async(&mut open).await?;
        Ok((open, missing))
    }

    /// A connection for channels alone: while it listens it can do nothing else.
    pub(crate) async fn listen(&self, channels: &[String]) -> Result<PubSub, RedisError> {
        let open = async {
            let mut listener = self.client.get_async_pubsub().await?;
            listener.subscribe(channels).await?;
            Ok(listener)
        };
        within(CONNECT_TIMEOUT, open).await
    }

    /// Tells once that the server is away.
    fn note_loss(&self, why: &RedisError) {
        if !is_temporary(why) {
            return;
        }
        let mut lost = self.lost.lock();
        if lost.is_none() {
            *lost = Some(Instant::now());
            let shown = &self.shown;
            let why = plain(why);
            self.notices
                .add(format!("{shown} is lost ({why}); it is tried again until it is back"));
        }
    }

    /// Tells once that it is back.
    fn note_return(&self) {
        let Some(lost) = self.lost.lock().take() else { return };
        let took = lost.elapsed().as_secs_f32();
        self.notices.add(format!("{} is back, after {took:.1} s", self.shown));
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.lock().is_some()
    }

    /// What went wrong, in one line, and what to do.
    pub(crate) fn explain(&self, why: &RedisError) -> String {
        let shown = &self.shown;
        let why = plain(why);
        let speaks_of = |words: &[&str]| words.iter().any(|word| why.contains(word));
        if speaks_of(&["NOAUTH", "WRONGPASS", "AuthenticationFailed", "invalid password"]) {
            return format!(
                "{shown} refused the password; put it into REDIS_URL: redis://:PASSWORD@HOST"
            );
        }
        if speaks_of(&["NOPERM"]) {
            return format!("{shown} does not allow this user what mail needs: {why}");
        }
        if speaks_of(&["OOM"]) {
            return format!(
                "{shown} has no memory left (maxmemory), so nothing was kept; make room there"
            );
        }
        if speaks_of(&["WRONGTYPE"]) {
            return format!(
                "a key of this team at {shown} holds something else; remove it or take another --space"
            );
        }
        if speaks_of(&["MISCONF"]) {
            return format!("{shown} cannot write its disk, so it takes no mail: {why}");
        }
        format!("{shown}: {why}")
    }
}

/// Whether the same request may succeed in a moment: the connection is lost, or the server loads its data.
pub(crate) fn is_temporary(why: &RedisError) -> bool {
    let busy = ["LOADING", "BUSY", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN"];
    why.is_io_error()
        || why.kind() == ErrorKind::Parse
        || why.code().is_some_and(|code| busy.contains(&code))
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisError> {
    match timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer").into()),
    }
}

fn plain(why: &RedisError) -> String {
    if why.is_connection_refusal() {
        return "nobody listens there".to_owned();
    }
    text::line(&why.to_string())
}

/// An address as it may be shown: without its password, wherever in it that stands.
pub fn without_password(url: &str) -> String {
    // The password may be in the query too: `redis+unix:///redis.sock?pass=…`.
    let url = url.split(['?', '#']).next().unwrap_or_default();
    // Without a scheme the whole text may be a password.
    let Some((scheme, rest)) = url.split_once("://") else { return "REDIS_URL".to_owned() };
    let place = match rest.rsplit_once('@') {
        None => rest.to_owned(),
        Some((login, place)) => match login.split_once(':') {
            Some((user, _)) => format!("{user}:***@{place}"),
            None => format!("***@{place}"),
        },
    };
    text::line(&format!("{scheme}://{place}"))
}
