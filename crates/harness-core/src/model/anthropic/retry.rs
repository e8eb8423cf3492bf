//! How often and how long: attempts, growing waits, and what the server asks for.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

/// How patient a client is with a server that is not available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// The most attempts in all, the first one included.
    pub attempts: u32,
    /// The wait after the first failure; it doubles with each one.
    pub first: Duration,
    /// The longest wait that it grows to.
    pub longest: Duration,
    /// The most time spent waiting for all attempts together. A server that asks for more gets none.
    pub budget: Duration,
}

impl Default for Patience {
    /// Eight attempts, half a second growing to eight, two minutes of waiting: an overload that lasts a
    /// minute is sat out, and nobody looks at a dead terminal for longer.
    fn default() -> Self {
        Self {
            attempts: 8,
            first: Duration::from_millis(500),
            longest: Duration::from_secs(8),
            budget: Duration::from_secs(120),
        }
    }
}

/// What has been waited so far.
#[derive(Debug)]
pub(super) struct Waits {
    patience: Patience,
    pub(super) attempts: u32,
    waited: Duration,
    stalls: u32,
}

/// What to do after a failed attempt.
pub(super) enum Next {
    Wait(Duration),
    /// The server wants a longer wait than there is budget for.
    TooLong(Duration),
    GiveUp,
}

impl Waits {
    pub(super) fn new(patience: Patience) -> Self {
        Self { patience, attempts: 1, waited: Duration::ZERO, stalls: 0 }
    }

    /// After a failure that is worth another attempt: how long until then?
    pub(super) fn next(&mut self, asked: Option<Duration>, stalled: bool) -> Next {
        self.stalls += u32::from(stalled);
        if self.attempts >= self.patience.attempts || self.stalls > 1 {
            return Next::GiveUp;
        }
        let left = self.patience.budget.saturating_sub(self.waited);
        let wait = match asked {
            Some(asked) if asked > left => return Next::TooLong(asked),
            Some(asked) => asked,
            None => self.backoff(),
        };
        if wait > left {
            return Next::GiveUp;
        }
        self.attempts += 1;
        self.waited += wait;
        Next::Wait(wait)
    }

    /// Doubles, up to a cap, then shortened by up to a quarter: clients that failed together shall not
    /// come back together.
    fn backoff(&self) -> Duration {
        let doubled = self.patience.first.saturating_mul(1 << (self.attempts - 1).min(16));
        // A fresh hasher has a random key: all the randomness needed here.
        let random = RandomState::new().hash_one(self.attempts) >> 11;
        let fraction = random as f64 / (1_u64 << 53) as f64;
        doubled.min(self.patience.longest).mul_f64(1.0 - 0.25 * fraction)
    }
}

/// The wait the server asks for: `retry-after-ms` (milliseconds), else `retry-after` (seconds, or an
/// HTTP date). `None` where it asks for none, or for nonsense.
pub(super) fn asked(millis: Option<&str>, after: Option<&str>) -> Option<Duration> {
    let number = |text: &str, unit: f64| {
        let seconds = text.trim().parse::<f64>().ok()? / unit;
        Duration::try_from_secs_f64(seconds).ok().filter(|wait| !wait.is_zero())
    };
    millis.and_then(|text| number(text, 1000.0)).or_else(|| {
        let after = after?;
        number(after, 1.0).or_else(|| {
            let date = httpdate::parse_http_date(after.trim()).ok()?;
            date.duration_since(SystemTime::now()).ok()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_cap_and_stop_after_the_attempts() {
        let mut waits = Waits::new(Patience::default());
        let mut seen = Vec::new();
        while let Next::Wait(wait) = waits.next(None, false) {
            seen.push(wait.as_secs_f64());
        }
        assert_eq!(waits.attempts, 8);
        for (wait, most) in seen.iter().zip([0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]) {
            assert!((most * 0.75..=most).contains(wait), "{wait} of {most}");
        }
        assert_eq!(seen.len(), 7);
    }

    #[test]
    fn a_server_may_not_ask_for_more_than_the_budget() {
        let mut waits = Waits::new(Patience::default());
        let secs = Duration::from_secs;
        assert!(matches!(waits.next(Some(secs(100)), false), Next::Wait(w) if w == secs(100)));
        assert!(matches!(waits.next(Some(secs(21)), false), Next::TooLong(w) if w == secs(21)));
        assert!(matches!(waits.next(Some(secs(20)), false), Next::Wait(_)));
        assert!(matches!(waits.next(None, false), Next::GiveUp));
    }

    #[test]
    fn a_stall_is_tried_once_more() {
        let mut waits = Waits::new(Patience::default());
        assert!(matches!(waits.next(None, true), Next::Wait(_)));
        assert!(matches!(waits.next(None, false), Next::Wait(_)));
        assert!(matches!(waits.next(None, true), Next::GiveUp));
    }

    #[test]
    fn the_asked_wait_is_read_in_all_its_forms() {
        let millis = Duration::from_millis;
        assert_eq!(asked(Some("1.5"), Some("9")), Some(Duration::from_micros(1500)));
        assert_eq!(asked(None, Some("0.25")), Some(millis(250)));
        for nonsense in
            ["", "soon", "-1", "0", "NaN", "inf", "1e300", "Thu, 01 Jan 1970 00:00:00 GMT"]
        {
            assert_eq!(asked(Some(nonsense), Some(nonsense)), None, "{nonsense}");
        }
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
        assert!(asked(None, Some(&later)).is_some_and(|wait| wait > Duration::from_secs(3500)));
    }
}
