//! Session 20: prompt caching.

use std::process::ExitCode;

use harness_app::App;
use s20_cache_optimization::{Flags, LESSON, PromptCache};

fn main() -> ExitCode {
    harness_cli::main_with(LESSON, async |agent, flags: Flags| {
        let app = App::from(agent);
        let cache = PromptCache::new(flags).shown_to(app.viewers());
        Ok(cache.join(app))
    })
}
