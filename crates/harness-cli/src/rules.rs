//! The gate of a session: which rules are in force, and who is asked.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use anyhow::{Context, Result};
use harness_core::permission::{Remember, Rules};
use harness_core::{Approver, Effect, Gate, Headless, Policy, ToolCall, Verdict};

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
    let wider = if args.ask { for_this_run(args)? } else { None };
    let whole = args.ask;
    let in_force = move |rules: Rules| -> Arc<dyn Policy> {
        match (whole, wider) {
            (false, _) => Arc::new(rules.deny_only()),
            (true, None) => Arc::new(rules),
            (true, Some(wider)) => Arc::new(rules.and(wider)),
        }
    };
    let policy: Arc<dyn Policy> = match config_file(config)? {
        Some(path) => {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            in_force(Rules::parse(&text, &path.display().to_string())?)
        }
        None => Arc::new(Late(LazyLock::new(Box::new(move || match Rules::built_in() {
            Ok(rules) => in_force(rules),
            Err(broken) => Arc::new(Broken(broken.to_string())),
        })))),
    };
    Ok(Gate { policy, approver: approver(person, screen)? })
}

/// A policy that is compiled when the first call is judged: a start should not wait for it. Only for
/// the built-in rules, which are known to be whole; a file of the user's is read at the start.
struct Late(LazyLock<Arc<dyn Policy>, Compile>);

type Compile = Box<dyn FnOnce() -> Arc<dyn Policy> + Send>;

impl Policy for Late {
    fn rule_on(&self, call: &ToolCall, effect: &Effect, cwd: &Path) -> Verdict {
        self.0.rule_on(call, effect, cwd)
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

/// What `--allow` and `--accept-edits` add, written as the rules they are.
fn for_this_run(args: &Shared) -> Result<Option<Rules>> {
    let mut rules = Vec::new();
    if args.accept_edits {
        rules.push(
            serde_json::json!({"path": "./**", "access": "write", "reason": "--accept-edits"}),
        );
    }
    for pattern in &args.allow {
        rules.push(serde_json::json!({"pattern": pattern, "reason": "--allow"}));
    }
    if rules.is_empty() {
        return Ok(None);
    }
    let yaml = serde_json::json!({"default": "ask", "always_allow": rules}).to_string();
    Ok(Some(Rules::parse(&yaml, "--allow")?))
}

/// The rules to read, if they are others than those that are compiled in.
fn config_file(config: &Config) -> Result<Option<PathBuf>> {
    let unchanged =
        |file: &PathBuf| std::fs::read(file).is_ok_and(|bytes| bytes == Rules::BUILT_IN.as_bytes());
    Ok(config.file("permissions.yaml")?.filter(|file| !unchanged(file)))
}

/// What the user is told of it at the start.
pub(crate) fn told(args: &Shared) -> &'static str {
    match args.ask {
        true => "what no rule allows is asked first",
        false => "commands run without asking; --ask asks first",
    }
}
