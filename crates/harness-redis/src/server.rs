//! One Redis: its address without the password, requests that end, and a connection that comes back.

use std::time::Duration;

use harness_core::Mutex;
use harness_core::host::text;
use harness_core::mail::{MailError, News};
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, Value};
use tokio::time::{Instant, sleep, timeout};

/// So long a connection may take. On a machine without Redis this is what the start costs at most.
const CONNECT: Duration = Duration::from_secs(1);
/// So long an answer may take. The package's own half second is too short for a mail of megabytes.
const ANSWER: Duration = Duration::from_secs(5);
/// Waits between two attempts begin with this and double up to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Why there is no Redis to use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRedis {
    /// Nobody answers there. It is another matter than a mistake: one can do without.
    #[error("{0}")]
    Away(String),
    /// Somebody answers, and does not let us in; or the address is none.
    #[error("{0}")]
    Refused(String),
}

/// A server and the connection to it. Every request may be sent twice, so they are made for that.
pub(crate) struct Server {
    pub(crate) client: Client,
    /// The address, fit to be shown.
    pub(crate) shown: String,
    /// Sent on each new connection; it returns how much of ours was missing there.
    hello: Cmd,
    news: News,
    connection: tokio::sync::Mutex<Connection>,
    lost: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Connection {
    open: Option<MultiplexedConnection>,
    /// How many were opened: an error of an earlier one does not close this one.
    count: usize,
}

impl std::fmt::Debug for Server {
    /// The client knows the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("shown", &self.shown).finish_non_exhaustive()
    }
}

/// Looks whether there is a Redis that lets us in, and returns what to call it. Changes nothing there.
///
/// # Errors
/// There is none, or it does not let us in.
pub async fn look(url: &str) -> Result<String, NoRedis> {
    Ok(Server::connect(url, redis::cmd("PING"), News::default()).await?.shown)
}

impl Server {
    /// Connects, once.
    pub(crate) async fn connect(url: &str, hello: Cmd, news: News) -> Result<Self, NoRedis> {
        let (shown, client) = (shown(url), Client::open(url));
        let client = client.map_err(|why| {
            NoRedis::Refused(format!("{shown} is no address of a Redis: {}", plain(&why)))
        })?;
        let server = Self {
            client,
            shown,
            hello,
            news,
            connection: Default::default(),
            lost: Mutex::default(),
        };
        match server.open().await {
            Ok(_) => Ok(server),
            Err(why) if why.kind() == ErrorKind::Parse => {
                Err(NoRedis::Refused(format!("what answers at {} is no Redis", server.shown)))
            }
            Err(why) if passes(&why) => {
                Err(NoRedis::Away(format!("no Redis at {}: {}", server.shown, plain(&why))))
            }
            Err(why) => Err(NoRedis::Refused(server.said(&why))),
        }
    }

    /// Sends a request, again and again while the server is away, for so long.
    pub(crate) async fn ask<T: FromRedisValue>(
        &self,
        request: &Cmd,
        patience: Duration,
    ) -> Result<T, MailError> {
        let (begun, mut wait) = (Instant::now(), Duration::ZERO);
        loop {
            let why =
                match self.once(request).await.and_then(|value| Ok(T::from_redis_value(value)?)) {
                    Ok(found) => return Ok(found),
                    Err(why) => why,
                };
            // The first error may only say that the server was restarted since: that costs no patience.
            if !passes(&why) || (begun.elapsed() + wait > patience && !wait.is_zero()) {
                return Err(MailError::Store(self.said(&why)));
            }
            sleep(wait).await;
            wait = (wait * 2).clamp(BACKOFF.0, BACKOFF.1);
        }
    }

    /// Sends a request once.
    pub(crate) async fn once(&self, request: &Cmd) -> Result<Value, RedisError> {
        let (mut connection, count) = self.open().await.inspect_err(|why| self.gone(why))?;
        let answer: Result<Value, _> = request.query_async(&mut connection).await;
        match &answer {
            Err(why) if passes(why) => {
                let mut connection = self.connection.lock().await;
                if connection.count == count {
                    connection.open = None; // also after a mere time-out: who knows what answers next
                    self.gone(why);
                }
            }
            _ => self.back(),
        }
        answer
    }

    async fn open(&self) -> Result<(MultiplexedConnection, usize), RedisError> {
        let mut connection = self.connection.lock().await;
        let count = connection.count;
        if let Some(open) = &connection.open {
            return Ok((open.clone(), count));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        let open = async {
            let mut open =
                self.client.get_multiplexed_async_connection_with_config(&config).await?;
            let missing: Value = self.hello.query_async(&mut open).await?;
            Ok::<_, RedisError>((open, missing))
        };
        let (open, missing) = timed(CONNECT, open).await?;
        if count > 0 && missing != Value::Int(0) {
            let shown = &self.shown;
            self.news.add(format!("{shown} came back empty: mail that waited there is gone"));
        }
        *connection = Connection { open: Some(open.clone()), count: count + 1 };
        Ok((open, count + 1))
    }

    /// A connection for channels alone: while it listens it can do nothing else.
    pub(crate) async fn listen(&self, channels: &[String]) -> Result<PubSub, RedisError> {
        timed(CONNECT, async {
            let mut listener = self.client.get_async_pubsub().await?;
            listener.subscribe(channels).await?;
            Ok(listener)
        })
        .await
    }

    fn gone(&self, why: &RedisError) {
        if !passes(why) {
            return;
        }
        let mut lost = self.lost.lock();
        if lost.is_none() {
            *lost = Some(Instant::now());
            let (shown, why) = (&self.shown, plain(why));
            self.news.add(format!("{shown} is lost ({why}); it is tried again until it is back"));
        }
    }

    fn back(&self) {
        let lost = self.lost.lock().take();
        if let Some(lost) = lost {
            let took = lost.elapsed().as_secs_f32();
            self.news.add(format!("{} is back, after {took:.1} s", self.shown));
        }
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.lock().is_some()
    }

    /// What went wrong, in one line, and what to do.
    pub(crate) fn said(&self, why: &RedisError) -> String {
        let (shown, why) = (&self.shown, plain(why));
        let has = |words: &[&str]| words.iter().any(|word| why.contains(word));
        match () {
            () if has(&["NOAUTH", "WRONGPASS", "AuthenticationFailed", "invalid password"]) => {
                format!(
                    "{shown} refused the password; put it into REDIS_URL: redis://:PASSWORD@HOST"
                )
            }
            () if has(&["NOPERM"]) => {
                format!("{shown} does not allow this user what mail needs: {why}")
            }
            () if has(&["OOM"]) => {
                format!(
                    "{shown} has no memory left (maxmemory), so nothing was kept; make room there"
                )
            }
            () if has(&["WRONGTYPE"]) => {
                format!(
                    "a key of this team at {shown} holds something else; remove it or take another --space"
                )
            }
            () if has(&["MISCONF"]) => {
                format!("{shown} cannot write its disk, so it takes no mail: {why}")
            }
            () => format!("{shown}: {why}"),
        }
    }
}

/// Whether it may be well in a moment: the connection, or a server that loads its data.
pub(crate) fn passes(why: &RedisError) -> bool {
    why.is_io_error()
        || why.kind() == ErrorKind::Parse
        || matches!(
            why.code(),
            Some("LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN" | "CLUSTERDOWN")
        )
}

async fn timed<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisError> {
    let late = |_| RedisError::from(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer"));
    timeout(limit, work).await.map_err(late)?
}

fn plain(why: &RedisError) -> String {
    match why.is_connection_refusal() {
        true => "nobody listens there".to_owned(),
        false => text::line(&why.to_string()),
    }
}

/// An address without its password, wherever in it that stands.
pub fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return "REDIS_URL".to_owned() };
    let place = match rest.rsplit_once('@') {
        Some((login, place)) => match login.split_once(':') {
            Some((user, _)) => format!("{user}:***@{place}"),
            None => format!("***@{place}"),
        },
        None => rest.to_owned(),
    };
    text::line(&format!("{scheme}://{place}"))
}
