//! Session 20: prompt caching.

use std::process::ExitCode;

use harness_cli::App;
use s20_cache_optimization::{Flags, LESSON, PromptCache};

fn main() -> ExitCode {
    harness_cli::main_with(LESSON, async |agent, flags: Flags| {
        let cache = PromptCache::new(&agent, flags);
        Ok(cache.clone().commands(cache.lines(App::from(agent.with(cache.clone())))))
    })
}
