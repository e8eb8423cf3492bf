#![doc = include_str!("../README.md")]
//!
//! Next page: [s19 · Interrupts](../s19_interrupts/index.html)

mod claim;
mod timeline;

use std::sync::Arc;

use async_trait::async_trait;
use clap::Args;
use futures_util::{StreamExt, stream};
use harness_app::Lesson;
use harness_core::{Admitted, Agent, Mechanism, Runner, Schedule, ToolCall, ToolResult};

pub use claim::{Claim, Spot, waves};
pub use timeline::{Span, Timeline, draw};

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "Readers together, writers in turn, the unknown alone.",
    play: include_str!("../demo.yaml"),
};

/// The mechanism: a schedule that runs together what cannot get in each other's way. It is also the flag
/// that sets how many.
#[derive(Args, Clone, Copy, Debug)]
pub struct Parallel {
    /// The most calls that run at the same time; 1 is one after the other
    #[arg(long = "at-once", value_name = "N", default_value_t = Self::MOST,
        value_parser = clap::value_parser!(u16).range(1..))]
    pub most: u16,
}

impl Mechanism for Parallel {
    fn install(self, agent: &mut Agent) {
        agent.schedule = Arc::new(self);
    }
}

impl Parallel {
    /// So many at the same time, if nothing else is said.
    pub const MOST: u16 = 8;
}

impl Default for Parallel {
    fn default() -> Self {
        Self { most: Self::MOST }
    }
}

#[async_trait]
impl Schedule for Parallel {
    async fn run(&self, calls: &[ToolCall], runner: &Runner<'_>) -> Vec<ToolResult> {
        let foreseen: Vec<Claim> = calls
            .iter()
            .map(|call| Claim::of(runner.foresee(call).as_ref(), runner.cwd()))
            .collect();
        let mut results = Vec::with_capacity(calls.len());
        for wave in waves(&foreseen) {
            // One after the other, so that nobody is asked two questions at once; and not before the waves
            // before are done, because what they change may change the ruling.
            let mut admitted = Vec::with_capacity(wave.len());
            for call in &calls[wave] {
                admitted.push(runner.admit(call).await);
            }
            self.perform(admitted, runner, &mut results).await;
        }
        results
    }
}

/// May run, or is answered already.
type Ruled = Result<Admitted, ToolResult>;

impl Parallel {
    /// Runs a wave. It is planned once more, by what the calls have become: a hook may have rewritten one,
    /// and the waves before it may have made a file or a link that nobody could foresee.
    async fn perform(&self, wave: Vec<Ruled>, runner: &Runner<'_>, results: &mut Vec<ToolResult>) {
        let claim = |it: &Ruled| Claim::of(it.as_ref().ok().map(|it| &it.effect), runner.cwd());
        let claims: Vec<Claim> = wave.iter().map(claim).collect();
        let mut wave = wave.into_iter().enumerate();
        for part in waves(&claims) {
            let answers = wave.by_ref().take(part.len()).map(|(at, ruled)| async move {
                match ruled {
                    Ok(admitted) => (at, runner.perform(admitted).await),
                    Err(result) => (at, result),
                }
            });
            // Whoever is done makes room for the next, also when the first one takes for ever.
            let answers = stream::iter(answers).buffer_unordered(self.most.into());
            let mut answers: Vec<(usize, ToolResult)> = answers.collect().await;
            answers.sort_by_key(|(at, _)| *at);
            results.extend(answers.into_iter().map(|(_, result)| result));
        }
    }
}
