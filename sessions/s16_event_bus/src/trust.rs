//! The workspace's own hooks. They came with the repository, perhaps from a stranger, and they are programs:
//! they run only after the user has seen the file and agreed to exactly these bytes.

use anyhow::Result;
use harness_app::{App, Config, Given, WorkspaceFile};

use crate::EventBus;

/// The file with a workspace's own hooks.
pub const OWN: &str = ".harness/hooks.yaml";

/// Loads the workspace's hooks if the user has agreed to them already; otherwise `:trust` shows the file, and
/// loads it after the user's yes.
///
/// # Errors
/// The file cannot be read, or it is trusted and not understood.
pub(crate) fn join_workspace_hooks(app: App, bus: &EventBus, config: &Config) -> Result<App> {
    let file = WorkspaceFile::new(app.agent(), OWN, config);
    match file.read()? {
        Some(Given::Trusted(yaml)) => bus.load(&yaml, OWN)?,
        Some(Given::Untrusted(why)) => bus.notify_user(why),
        None => {}
    }
    let bus = bus.clone();
    Ok(app.trusts(file, move |yaml| bus.load(yaml, OWN)))
}
