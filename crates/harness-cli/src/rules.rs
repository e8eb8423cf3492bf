//! The gate of a session: which rules are in force, and who is asked.

use std::sync::Arc;

use anyhow::Result;
use harness_core::{AllowAll, Approver, Gate, Headless};

use crate::approve::AskPerson;
use crate::args::Shared;
use crate::input::Input;
use crate::screen::Screen;
use crate::settings::Settings;

pub(crate) fn gate(
    args: &Shared,
    settings: &Settings,
    person: Option<&Input>,
    screen: &Screen,
) -> Result<Gate> {
    let _ = (args, settings);
    let approver: Arc<dyn Approver> = match person {
        Some(input) => Arc::new(AskPerson::new(input.clone(), screen.clone())),
        None => Arc::new(Headless),
    };
    Ok(Gate { policy: Arc::new(AllowAll), approver })
}

pub(crate) fn told(args: &Shared) -> &'static str {
    match args.ask {
        true => "what no rule allows is asked first",
        false => "commands run without asking; --ask asks first",
    }
}
