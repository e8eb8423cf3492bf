//! Session 20: prompt caching.

use std::process::ExitCode;

use s20_cache_optimization::{Flags, LESSON, PromptCache};

fn main() -> ExitCode {
    harness_cli::main_with(LESSON, async |agent, flags: Flags| {
        let cache = PromptCache::new(flags);
        Ok(cache.lines(cache.clone().join(agent.into())))
    })
}
