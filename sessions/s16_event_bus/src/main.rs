//! Session 16: the event bus.

use std::process::ExitCode;

use harness_cli::{App, NoFlags, WorkspaceFile};
use harness_core::hook::program::INSIDE;
use s16_event_bus::{BUILT_IN, EventBus, LESSON, OWN};

fn main() -> ExitCode {
    harness_cli::main_with_config(LESSON, async |agent, _: NoFlags, config| {
        let (bus, own) = (EventBus::new(&agent), WorkspaceFile::new(&agent, OWN, &config));
        let app = App::from(agent.with(bus.clone()));
        if std::env::var_os(INSIDE).is_some() {
            // Its hooks would start it again, and so on for ever.
            let told = "a hook has started this program: its own hooks do not run".to_owned();
            return Ok(app.tell([told]));
        }
        let (hooks, file) = config.read("hooks.yaml", BUILT_IN)?;
        bus.hooks(&hooks, &file)?;
        bus.commands(app, own)
    })
}
