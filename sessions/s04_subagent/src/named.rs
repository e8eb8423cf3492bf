//! Subagents with a name: Markdown files whose front matter says what they may use.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use harness_core::host::front_matter::{Fault, FrontMatter, read_text};
use harness_core::{Agent, ChildSpec};

const FOLDER: &str = ".claude/agents";
const FIELDS: [&str; 5] = ["name", "description", "tools", "model", "max_turns"];
/// The most bytes of a file.
const LARGEST: u64 = 100_000;

/// What is wrong with the files, in one line.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(Fault::to_string).collect::<Vec<_>>().join("; "))]
pub struct Faults(pub Vec<Fault>);

/// A subagent with a name.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// Its name: lower-case letters, digits and hyphens.
    pub name: String,
    /// What it is for; the lead reads this.
    pub description: String,
    /// The tools it keeps; all, where nothing is said.
    pub tools: Option<Vec<String>>,
    /// Another model.
    pub model: Option<String>,
    /// The most steps it takes.
    pub max_turns: Option<usize>,
    /// What stands below the front matter: a part of its system prompt.
    pub instructions: String,
}

impl Named {
    /// Narrows what a subagent is made for. It can take away, and never give.
    pub fn shape(&self, spec: &mut ChildSpec) {
        spec.tools.clone_from(&self.tools);
        spec.model_id.clone_from(&self.model);
        let most = spec.max_steps.unwrap_or(usize::MAX);
        spec.max_steps = Some(most.min(self.max_turns.unwrap_or(usize::MAX)));
        if !self.instructions.is_empty() {
            spec.instructions.push(self.instructions.clone());
        }
    }

    pub(crate) fn find<'a>(all: &'a [Self], name: &str) -> Result<&'a Self, String> {
        all.iter().find(|named| named.name == name).ok_or_else(|| {
            let names = all.iter().map(|named| named.name.as_str()).collect::<Vec<_>>().join(", ");
            let there = if names.is_empty() { "leave `agent` out" } else { &names };
            format!("there is no subagent {name:?}; available: {there}")
        })
    }

    pub(crate) fn load(agent: &Agent) -> Result<Vec<Self>, Faults> {
        let (mut all, mut faults) = (Vec::new(), Vec::new());
        let files = files(&agent.cwd).map_err(|fault| Faults(vec![fault]))?;
        for file in files {
            match Self::read(agent, &file, &all) {
                Ok(named) => all.push(named),
                Err(found) => faults.extend(found),
            }
        }
        if faults.is_empty() { Ok(all) } else { Err(Faults(faults)) }
    }

    fn read(agent: &Agent, file: &Path, others: &[Self]) -> Result<Self, Vec<Fault>> {
        let text = read_text(&agent.cwd, file, LARGEST)
            .map_err(|fault| vec![Fault { file: file.to_owned(), ..fault }])?;
        let mut front = FrontMatter::parse(file, &text, &FIELDS)?;
        let name = front.required("name", 64);
        if others.iter().any(|other| other.name == name) {
            front.fault("name", format!("another file has the name {name:?} already"));
        }
        if name.contains(|c: char| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
            front.fault("name", "`name` is lower-case letters, digits and hyphens");
        }
        let description = front.required("description", 1_000);
        let mut tools = front.words("tools");
        for tool in tools.iter_mut().flatten() {
            if agent.tools.get(tool).is_err() {
                *tool = tool.to_lowercase(); // other products write `Read`
            }
            if let Err(why) = agent.tools.get(tool) {
                front.fault("tools", why.to_string());
            }
        }
        let model = front.text("model", 200);
        let max_turns = front.text("max_turns", 20).map(|text| text.parse().unwrap_or(0));
        if max_turns == Some(0) {
            front.fault("max_turns", "`max_turns` is a number of steps, 1 or more");
        }
        let instructions = front.sound()?.to_owned();
        Ok(Self { name, description, tools, model, max_turns, instructions })
    }
}

/// The files, in the order of their names, relative to the workspace. No folder, no files.
fn files(cwd: &Path) -> Result<BTreeSet<PathBuf>, Fault> {
    let entries = match std::fs::read_dir(cwd.join(FOLDER)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Fault { file: FOLDER.into(), line: None, what: error.to_string() });
        }
        entries => entries.into_iter().flatten().flatten(),
    };
    let names = entries.map(|entry| Path::new(FOLDER).join(entry.file_name()));
    Ok(names.filter(|name| name.extension().is_some_and(|end| end == "md")).collect())
}
