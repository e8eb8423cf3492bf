//! A process that the tests start several times at once: it claims and ends tasks in a folder until there are
//! none left, without an agent in between, and prints what it claimed.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a process of a test")]

use std::sync::Arc;
use std::time::Duration;

use harness_core::{Agent, Play, Script};
use s11_autonomous_agents::{Claims, Found, LESSON, Outcome};

const DAY: Duration = Duration::from_secs(86_400);

fn main() {
    let folder = std::env::args_os().nth(1).unwrap();
    let nobody = Script::new(Play::from_yaml(LESSON.play).unwrap());
    let claims = Claims::open(&Agent::new(Arc::new(nobody), folder), DAY).unwrap();
    let owner = claims.leases.owner("worker").unwrap();
    loop {
        match claims.claim(&owner).unwrap() {
            Found::Nothing => return,
            Found::Wait => std::thread::yield_now(),
            Found::Claim(claim) => {
                println!("claimed {}", claim.task.id);
                claims.end(&claim, &owner, Outcome::Done("it ran".to_owned())).unwrap();
            }
        }
    }
}
