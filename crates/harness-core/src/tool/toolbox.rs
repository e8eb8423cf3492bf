//! The tools of an agent.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::{DynTool, ToolError};
use crate::host::text;
use crate::model::ToolSpec;

/// Tools that come and go, such as an MCP server's. Asked once a step.
pub trait ToolSource: Send + Sync {
    /// The tools there are now, in a stable order.
    fn tools(&self) -> Vec<Arc<dyn DynTool>>;
}

/// Who gets what is installed on an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// This agent alone: no child of it.
    Alone,
    /// This agent and every child that it makes from then on, and theirs.
    Family,
}

/// The tools an agent has, in a stable order: a changed order would empty the prompt cache. A clone is cheap.
#[derive(Clone, Default)]
pub struct Toolbox {
    tools: Vec<Installed<Arc<dyn DynTool>>>,
    specs: Arc<Vec<ToolSpec>>,
    sources: Vec<Installed<Arc<dyn ToolSource>>>,
    clashes: Vec<String>,
}

#[derive(Clone)]
struct Installed<T> {
    it: T,
    audience: Audience,
}

impl Toolbox {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more tool, for this agent alone. The first of a name stays; a second is not taken and recorded as
    /// a clash.
    pub fn add(&mut self, tool: impl DynTool + 'static) {
        self.install(Arc::new(tool), Audience::Alone);
    }

    /// One more tool, for this agent and its children.
    pub fn add_for_family(&mut self, tool: impl DynTool + 'static) {
        self.install(Arc::new(tool), Audience::Family);
    }

    /// The same as [`Toolbox::add_for_family`], in a chain: `Toolbox::new().with(Bash).with(Read)`.
    pub fn with(mut self, tool: impl DynTool + 'static) -> Self {
        self.add_for_family(tool);
        self
    }

    fn install(&mut self, tool: Arc<dyn DynTool>, audience: Audience) {
        let spec = tool.spec();
        if self.specs.iter().any(|known| known.name == spec.name) {
            self.clashes.push(spec.name);
            return;
        }
        Arc::make_mut(&mut self.specs).push(spec);
        self.tools.push(Installed { it: tool, audience });
    }

    /// Tools that come and go. Built-in names win over theirs.
    pub fn add_source(&mut self, source: Arc<dyn ToolSource>, audience: Audience) {
        self.sources.push(Installed { it: source, audience });
    }

    /// What a child of the agent has of these tools: those that were installed for the family.
    pub fn for_child(&self) -> Self {
        let mut child = Self::new();
        for tool in self.tools.iter().filter(|tool| tool.audience == Audience::Family) {
            child.install(tool.it.clone(), Audience::Family);
        }
        let sources = self.sources.iter().filter(|source| source.audience == Audience::Family);
        child.sources = sources.cloned().collect();
        child
    }

    /// Keeps only the tools whose names pass, those that are yet to come from a source among them.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool + Send + Sync + 'static) {
        self.tools.retain(|tool| keep(&tool.it.spec().name));
        Arc::make_mut(&mut self.specs).retain(|spec| keep(&spec.name));
        let keep: Arc<dyn Fn(&str) -> bool + Send + Sync> = Arc::new(keep);
        for source in &mut self.sources {
            let narrowed = Narrowed { source: source.it.clone(), keep: keep.clone() };
            source.it = Arc::new(narrowed);
        }
    }

    /// Names that were given twice. harness-cli refuses to start with any.
    pub fn clashes(&self) -> &[String] {
        &self.clashes
    }

    /// What the model sees now.
    pub fn specs(&self) -> Cow<'_, [ToolSpec]> {
        if self.sources.is_empty() {
            return Cow::Borrowed(&self.specs);
        }
        let mut specs = self.specs.to_vec();
        for tool in self.sources.iter().flat_map(|source| source.it.tools()) {
            let spec = tool.spec();
            if !specs.iter().any(|known| known.name == spec.name) {
                specs.push(spec);
            }
        }
        Cow::Owned(specs)
    }

    /// The tool of that name.
    ///
    /// # Errors
    /// There is none; the text names those that come nearest.
    pub fn get(&self, name: &str) -> Result<Arc<dyn DynTool>, ToolError> {
        if let Some(at) = self.specs.iter().position(|spec| spec.name == name) {
            return Ok(self.tools[at].it.clone());
        }
        let mut late = self.sources.iter().flat_map(|source| source.it.tools());
        late.find(|tool| tool.spec().name == name).ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> ToolError {
        let specs = self.specs();
        let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        let near = text::nearest(name, names.iter().copied());
        let shown = if near.is_empty() { names } else { near };
        ToolError::Failed(format!("there is no tool `{name}`; available: {}", shown.join(", ")))
    }
}

/// A source of which only some tools are taken.
struct Narrowed {
    source: Arc<dyn ToolSource>,
    keep: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl ToolSource for Narrowed {
    fn tools(&self) -> Vec<Arc<dyn DynTool>> {
        let mut tools = self.source.tools();
        tools.retain(|tool| (self.keep)(&tool.spec().name));
        tools
    }
}

impl fmt::Debug for Toolbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.specs.iter().map(|spec| &spec.name)).finish()
    }
}
