#![doc = include_str!("../README.md")]
//!
//! Next page: [s06 · Context compaction](../s06_context_compact/index.html)

mod catalogue;
mod command;
mod skill;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use harness_app::Lesson;
use harness_core::host::front_matter::read_text;
use harness_core::host::text;
use harness_core::{
    Agent, AgentError, ChildSpec, Content, Conversation, Effect, Fault, Hook, HookContext, Inherit,
    Mechanism, Message, Mutex, NoInput, Tool, ToolContext, ToolError,
};
use schemars::JsonSchema;
use serde::Deserialize;

pub use catalogue::catalogue;
pub use command::{Command, run};
pub use skill::{MOST, Skill};

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "Tell what there is; load what is needed.",
    play: include_str!("../demo.yaml"),
};

/// The most bytes of the catalogue in the system prompt, paid with every request: 2,000 tokens, the
/// hundredth part of a small window.
const CATALOGUE: usize = 8_000;
/// The most bytes that `list_skills` returns, paid once.
const LIST: usize = 50_000;
/// How what is loaded begins.
const HEAD: &str = "[skill ";

/// The mechanism: a catalogue in the system prompt, two tools, and a hook that sees what the
/// conversation holds already. Which skills there are is settled at the start: a system prompt that
/// changes would empty the prompt cache.
#[derive(Debug, Default)]
pub struct Skills {
    /// What is wrong with the skills that are left out.
    pub faults: Vec<Fault>,
    /// By name, and without their instructions, which stay on disk until they are asked for.
    skills: BTreeMap<String, Skill>,
    hidden: Vec<String>,
    /// What was loaded before, for each `load_skill` that is about to run.
    loaded: Mutex<HashMap<String, Vec<String>>>,
}

impl Mechanism for Skills {
    fn install(self, agent: &mut Agent) {
        if !self.skills.is_empty() {
            agent.system.push_for_family(format!("{SYSTEM}\n{}", self.catalogue(CATALOGUE)));
        }
        let skills = Arc::new(self);
        agent.tools.add_for_family(ListSkills(skills.clone()));
        agent.tools.add_for_family(LoadSkill(skills.clone()));
        agent.hooks.push(skills);
    }
}

const SYSTEM: &str = "Skills are instructions for one kind of task, written by people who know it. When a task \
    fits a skill, call load_skill with its name before you begin, and follow it. list_skills shows the \
    skills again, with longer descriptions. There are:";

/// Where a session in this workspace looks, the strongest first: the workspace's own skills, the
/// user's, and those that come with this repository.
pub fn places(workspace: &Path, home: Option<&Path>) -> Vec<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let mut places = vec![workspace.join("skills"), workspace.join(".claude/skills")];
    places.extend(home.map(|home| home.join(".claude/skills")));
    places.extend(repository.map(|root| root.join("skills")));
    let mut seen = HashSet::new();
    places.retain(|place| place.canonicalize().is_ok_and(|real| seen.insert(real)));
    places
}

impl Skills {
    /// Looks into folders of skills, the strongest first: of two skills with one name the first is used.
    pub fn from_dirs(dirs: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut skills = Self::default();
        for dir in dirs {
            let entries = std::fs::read_dir(&dir).map_err(|error| {
                let what = format!("this folder of skills cannot be listed: {error}");
                skills.faults.push(Fault { file: dir, line: None, what });
            });
            let paths = entries.into_iter().flatten().flatten().map(|entry| entry.path());
            let folders: BTreeSet<PathBuf> = paths.filter(|path| is_skill(path)).collect();
            folders.iter().for_each(|folder| skills.add(folder));
        }
        skills
    }

    fn add(&mut self, folder: &Path) {
        let skill = match Skill::read(folder) {
            Ok(skill) => Skill { body: String::new(), ..skill },
            Err(faults) => return self.faults.extend(faults),
        };
        if let Some(used) = self.skills.get(&skill.name) {
            let (used, hidden) = (used.folder.display(), folder.display());
            return self.hidden.push(format!("{used} hides {hidden}"));
        }
        self.skills.insert(skill.name.clone(), skill);
    }

    /// The names of the skills, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.skills.keys().map(String::as_str)
    }

    /// What the user is told, in at most so many lines and one that says how many more there are: which
    /// skills there are, what the catalogue has no room for, which hide others, which have faults.
    pub fn news(&self, most: usize) -> Vec<String> {
        let names = self.names().take(most).collect::<Vec<_>>().join(", ");
        let mut news = vec![format!("skills ({}): {names}", self.skills.len())];
        let catalogue = self.catalogue(CATALOGUE);
        news.extend(catalogue.lines().filter(|line| line.starts_with('[')).map(str::to_owned));
        news.extend(self.hidden.iter().cloned());
        news.extend(self.faults.iter().map(Fault::to_string));
        if let Some(more @ 1..) = news.len().checked_sub(most) {
            news.truncate(most);
            news.push(format!("and {more} lines more; the subcommand `check` prints all"));
        }
        news
    }

    fn catalogue(&self, budget: usize) -> String {
        let descriptions = self.skills.values().map(|skill| skill.description.as_str());
        catalogue(&self.names().zip(descriptions).collect::<Vec<_>>(), budget)
    }

    /// A skill that is listed. Nothing else is looked for: a name is no path.
    fn listed(&self, name: &str) -> Result<&Skill, ToolError> {
        self.skills.get(name).ok_or_else(|| {
            let near = text::nearest(name, self.names()).join(" or ");
            let hint = if near.is_empty() { "what list_skills shows" } else { &near };
            ToolError::Failed(format!("there is no skill {name:?}; try {hint}"))
        })
    }
}

/// Folders, and links that lead nowhere: a skill that was lost is told, not passed over.
fn is_skill(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    !path.is_file() && !name.as_encoded_bytes().starts_with(b".")
}

struct ListSkills(Arc<Skills>);

impl Tool for ListSkills {
    const NAME: &'static str = "list_skills";
    const ABOUT: &'static str = "Lists the skills with what each is for.";
    type Input = NoInput;

    fn effect(&self, _: &NoInput) -> Effect {
        Effect::Internal
    }

    async fn call(&self, _: NoInput, _: &ToolContext) -> Result<Content, ToolError> {
        let lines = self.0.catalogue(LIST);
        Ok(if lines.is_empty() { "there are no skills".into() } else { lines.into() })
    }
}

/// What `load_skill` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Load {
    /// The skill's name, as it is listed.
    name: String,
    /// Which of the skill's own files, relative to its folder; without it, the instructions.
    #[serde(default = "instructions")]
    file: PathBuf,
}

fn instructions() -> PathBuf {
    "SKILL.md".into()
}

struct LoadSkill(Arc<Skills>);

impl Tool for LoadSkill {
    const NAME: &'static str = "load_skill";
    const ABOUT: &'static str = "Returns a skill's instructions, or one of its other files.";
    type Input = Load;

    /// The instructions are what the catalogue offers; any other file is judged by its path.
    fn effect(&self, Load { name, file }: &Load) -> Effect {
        match self.0.listed(name) {
            Ok(skill) if *file != instructions() => Effect::Reads(vec![skill.folder.join(file)]),
            _ => Effect::Internal,
        }
    }

    /// Reads anew each time: the file may be better by now, or broken, and then it is refused.
    async fn call(&self, load: Load, cx: &ToolContext) -> Result<Content, ToolError> {
        let folder = &self.0.listed(&load.name)?.folder;
        let text = match load.file == instructions() {
            true => Skill::read(folder).map_err(|faults| ToolError::failed(&faults[0]))?.body,
            false => {
                read_text(folder, &load.file, MOST).map_err(|it| ToolError::Failed(it.what))?
            }
        };
        let place = folder.strip_prefix(&cx.cwd).unwrap_or(folder).join(load.file);
        let text = format!("{HEAD}{}, {}]\n\n{text}", load.name, place.display());
        let before = self.0.loaded.lock().remove(&cx.call_id).unwrap_or_default();
        Ok(match before.contains(&text) {
            true => "this is loaded already: it stands above, and has not changed since".into(),
            false => text.into(),
        })
    }
}

#[async_trait]
impl Hook for Skills {
    /// Called with the calls of a reply before they run. Whether a skill is loaded is read off the
    /// conversation, not remembered beside it: so it stays true after a fold, in a fork, for a subagent.
    async fn persist(&self, c: &Conversation, _: &HookContext<'_>) -> Result<(), AgentError> {
        let loads = c.calls().into_iter().filter(|call| call.name == LoadSkill::NAME);
        let results = c.messages().iter().flat_map(Message::results);
        let texts = results.map(|result| result.content.text());
        let loaded = texts.filter(|text| text.starts_with(HEAD)).map(|text| text.into_owned());
        let loaded: Vec<String> = loaded.collect();
        self.loaded.lock().extend(loads.map(|call| (call.id, loaded.clone())));
        Ok(())
    }

    fn for_child(&self, _: &ChildSpec) -> Inherit {
        Inherit::Same
    }
}

/// The code in a shipped skill compiles, like that of a lesson.
#[cfg(doctest)]
#[doc = include_str!("../../../skills/agent-builder/SKILL.md")]
struct AgentBuilder;
