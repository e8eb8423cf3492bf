//! The gate of a session: which rules are in force, and who is asked.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use anyhow::Result;
use harness_core::permission::{Remember, Rules};
use harness_core::{Approver, Effect, Gate, Headless, Policy, ToolCall, Verdict};
use serde_json::json;

use crate::approve::AskPerson;
use crate::args::Shared;
use crate::config::Config;
use crate::input::Input;
use crate::screen::Screen;
use crate::settings::home;

/// The gate: what is never done holds in every session; with `--ask` all rules do.
pub(crate) fn gate(
    args: &Shared,
    config: &Config,
    person: Option<&Input>,
    screen: &Screen,
) -> Result<Gate> {
    let policy: Arc<dyn Policy> = match args.ask {
        true => Arc::new(config.rules()?),
        false => Arc::new(Unasked::new(config)?),
    };
    Ok(Gate { policy, approver: approver(person, screen)? })
}

impl Config {
    /// The whole policy: `permissions.yaml`, and what `--allow` and `--accept-edits` add for this run.
    /// A session that puts it in force sets it as its agent's `gate.policy`; who is asked stays as it is.
    ///
    /// # Errors
    /// A rule is not understood; the error names file, line and column.
    pub fn rules(&self) -> Result<Rules> {
        let rules = match self.other_rules()? {
            Some(rules) => rules,
            None => Rules::built_in()?,
        };
        let mut wider = Vec::new();
        if self.accept_edits {
            let reason = "--accept-edits";
            wider.push(json!({"path": "./**", "access": "write", "reason": reason}));
        }
        wider.extend(self.allow.iter().map(|it| json!({"pattern": it, "reason": "--allow"})));
        if wider.is_empty() {
            return Ok(rules);
        }
        // Written as the rules they are.
        let yaml = json!({"default": "ask", "always_allow": wider}).to_string();
        Ok(rules.and(Rules::parse(&yaml, "--allow")?))
    }

    /// The rules of a file, if they are others than those that are compiled in.
    fn other_rules(&self) -> Result<Option<Rules>> {
        let (text, name) = self.read("permissions.yaml", Rules::BUILT_IN)?;
        match text == Rules::BUILT_IN && name == "config/permissions.yaml" {
            true => Ok(None),
            false => Ok(Some(Rules::parse(&text, &name)?)),
        }
    }
}

/// Only what is never done. The built-in rules are compiled when the first call is judged: a start should
/// not wait for them, and they are known to be whole. A file of the user's is read at the start.
struct Unasked(LazyLock<Arc<dyn Policy>, Compile>);

type Compile = Box<dyn FnOnce() -> Arc<dyn Policy> + Send>;

impl Unasked {
    fn new(config: &Config) -> Result<Self> {
        let other = config.other_rules()?;
        Ok(Self(LazyLock::new(Box::new(move || {
            match other.map_or_else(Rules::built_in_denials, Ok) {
                Ok(rules) => Arc::new(rules.deny_only()),
                Err(broken) => Arc::new(Broken(broken.to_string())),
            }
        }))))
    }
}

impl Policy for Unasked {
    fn rule_on(&self, call: &ToolCall, effect: &Effect, cwd: &Path) -> Verdict {
        self.0.rule_on(call, effect, cwd)
    }

    fn told(&self) -> &'static str {
        "commands run without asking; --ask asks first"
    }
}

/// No rules are no permission.
struct Broken(String);

impl Policy for Broken {
    fn rule_on(&self, _: &ToolCall, _: &Effect, _: &Path) -> Verdict {
        Verdict::Deny(format!("the built-in rules are broken: {}", self.0))
    }
}

/// Who is asked, behind the answers that were given for always.
fn approver(person: Option<&Input>, screen: &Screen) -> Result<Arc<dyn Approver>> {
    let file = home().map(|home| home.join("always.yaml"));
    Ok(match (person, file) {
        (Some(input), Some(file)) => {
            Arc::new(Remember::open(AskPerson::new(input.clone(), screen.clone()), file)?)
        }
        (Some(input), None) => Arc::new(AskPerson::new(input.clone(), screen.clone())),
        (None, Some(file)) => Arc::new(Remember::open(Headless, file)?),
        (None, None) => Arc::new(Headless),
    })
}
