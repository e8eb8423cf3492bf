//! How many tasks a second workers claim, each with a lease, and finish; run by `cargo xtask bench`.
#![expect(clippy::unwrap_used, reason = "a measurement, run by hand")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness_core::{Agent, Play, Script};
use harness_testkit::Row;
use s07_task_system::NewTask;
use s11_autonomous_agents::{Claims, Found, Outcome};

const TASKS: usize = 200;

fn main() {
    for workers in [1, 4] {
        let name = format!("claims with a lease, done by {workers}");
        Row::new(name, rate(workers), "1/s").print();
    }
}

fn rate(workers: usize) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let script = Arc::new(Script::new(Play::default()));
    let agent = Agent::new(script, folder.path().canonicalize().unwrap());
    let claims = Claims::open(&agent, Duration::from_secs(60)).unwrap();
    let filled = claims.board.change(|graph| {
        for at in 0..TASKS {
            let new = serde_json::json!({"description": format!("task {at}")});
            let new: NewTask = serde_json::from_value(new).map_err(|why| why.to_string())?;
            graph.create(&new)?;
        }
        Ok(())
    });
    filled.unwrap();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let claims = &claims;
            scope.spawn(move || {
                let owner = claims.leases.owner(&format!("worker-{worker}")).unwrap();
                loop {
                    match claims.claim(&owner).unwrap() {
                        Found::Claim(claim) => {
                            claims.end(&claim, &owner, Outcome::Done("done".into())).unwrap();
                        }
                        Found::Wait => std::thread::yield_now(),
                        Found::Nothing => return,
                    }
                }
            });
        }
    });
    TASKS as f64 / begun.elapsed().as_secs_f64()
}
