//! Policy: what `permissions.yaml` and the flags say about a call, and the answers that a person has given.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use anyhow::Result;
use harness_core::permission::{Remember, Rules};
use harness_core::{Approver, Effect, Policy, ToolCall, Verdict};
use serde_json::json;

use crate::config::Config;
use crate::places;

impl Config {
    /// The whole policy: `permissions.yaml`, and what `--allow` and `--accept-edits` add for this run.
    /// A session that puts it in force sets it as its agent's `gate.policy`; who is asked stays as it is.
    ///
    /// # Errors
    /// A rule is not understood; the error names file, line and column.
    pub fn rules(&self) -> Result<Rules> {
        let rules = match self.changed_rules()? {
            Some(rules) => rules,
            None => Rules::built_in()?,
        };
        let mut additions = Vec::new();
        if self.accept_edits {
            let reason = "--accept-edits";
            additions.push(json!({"path": "./**", "access": "write", "reason": reason}));
        }
        for pattern in &self.allow {
            additions.push(json!({"pattern": pattern, "reason": "--allow"}));
        }
        if additions.is_empty() {
            return Ok(rules);
        }
        // Written as the rules they are.
        let yaml = json!({"default": "ask", "always_allow": additions}).to_string();
        Ok(rules.and(Rules::parse(&yaml, "--allow")?))
    }

    /// The part of the policy that holds in every session: what is always denied. Everything else runs without
    /// a question.
    ///
    /// # Errors
    /// A rule of the user's file is not understood.
    pub fn denials(&self) -> Result<Arc<dyn Policy>> {
        Ok(Arc::new(Denials::new(self)?))
    }

    /// An approver behind the answers that the user has given for always.
    ///
    /// # Errors
    /// Those answers cannot be read.
    pub fn remembering(&self, approver: impl Approver + 'static) -> Result<Arc<dyn Approver>> {
        let Some(folder) = self.home() else { return Ok(Arc::new(approver)) };
        Ok(Arc::new(Remember::open(approver, places::remembered_answers(folder))?))
    }

    /// The rules of the file, if they are not those that are compiled in.
    fn changed_rules(&self) -> Result<Option<Rules>> {
        let (text, name) = self.read("permissions.yaml", Rules::BUILT_IN)?;
        if text == Rules::BUILT_IN && name == "config/permissions.yaml" {
            return Ok(None);
        }
        Ok(Some(Rules::parse(&text, &name)?))
    }
}

/// Only what is always denied. The built-in rules are compiled when the first call is judged: a start should
/// not wait for them, and they are known to be whole. A file of the user's is read at the start.
struct Denials(LazyLock<Arc<dyn Policy>, Compile>);

type Compile = Box<dyn FnOnce() -> Arc<dyn Policy> + Send>;

impl Denials {
    fn new(config: &Config) -> Result<Self> {
        let changed = config.changed_rules()?;
        let compile = move || -> Arc<dyn Policy> {
            match changed.map_or_else(Rules::built_in_denials, Ok) {
                Ok(rules) => Arc::new(rules.deny_only()),
                Err(error) => Arc::new(Broken(error.to_string())),
            }
        };
        Ok(Self(LazyLock::new(Box::new(compile))))
    }
}

impl Policy for Denials {
    fn rule_on(&self, call: &ToolCall, effect: &Effect, cwd: &Path) -> Verdict {
        self.0.rule_on(call, effect, cwd)
    }

    fn told(&self) -> &'static str {
        "commands run without asking, except those that are always denied; --ask asks first"
    }
}

/// No rules are no permission.
struct Broken(String);

impl Policy for Broken {
    fn rule_on(&self, _: &ToolCall, _: &Effect, _: &Path) -> Verdict {
        Verdict::Deny(format!("the built-in rules are broken: {}", self.0))
    }
}
