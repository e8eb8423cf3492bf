#![doc = include_str!("../README.md")]
//!
//! Its mechanisms are explained from [s01](../s01_perception_action_loop/index.html) on.

mod doctor;
mod settings;

use std::sync::Arc;

use anyhow::Result;
use harness_app::{App, Config, Lesson, WorkspaceFile};
use harness_cli::LineFront;
use harness_core::Agent;
use harness_core::model::models;
use s03_todo_write::Plan;
use s04_subagent::Subagents;
use s05_skill_loading::Skills;
use s06_context_compact::Compact;
use s07_task_system::TaskBoard;
use s08_background_tasks::Background;
use s12_worktree_task_isolation::{TaskFlags, TaskPrompts};
use s13_streaming::Typewriter;
use s14_tools_extended::Checkpoints;
use s15_permissions::Permissions;
use s18_parallel_tools::Parallel;
use s19_interrupts::{Lines, Steering};
use s20_cache_optimization::PromptCache;
use s21_mcp_runtime::McpServers;
use s22_production_mailbox::TeamFlags;

pub use doctor::{Finding, State, doctor};
pub use settings::{MECHANISMS, OWN, Settings};

/// What the terminal is told of this program.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "One loop, and everything that was hung on it.",
    play: include_str!("../demo.yaml"),
};

/// The flags of the mechanisms.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Flags {
    /// Switch a mechanism off for this run (:mechanisms lists them); may be given again
    #[arg(long, value_name = "MECHANISM")]
    pub without: Vec<String>,

    #[command(flatten)]
    parallel: Parallel,

    #[command(flatten)]
    team: TeamFlags,

    #[command(flatten)]
    tasks: TaskFlags,

    #[command(flatten)]
    compaction: s06_context_compact::Flags,

    #[command(flatten)]
    sessions: s17_session_management::Flags,
}

/// Installs everything that is on. The order has meaning where several judge a call or prepare a request. Children
/// are made from the finished agent, and each mechanism says what they get of it.
///
/// # Errors
/// A mechanism cannot use its configuration.
pub async fn install(agent: Agent, flags: Flags, config: &Config) -> Result<LineFront> {
    let settings = Settings::load(&agent, config, &flags.without)?;
    let own = WorkspaceFile::new(&agent, OWN, config);
    let on = |name| settings.on(name);
    let mut app = App::from(agent).notices(settings.told.clone());
    // Servers take a moment to start: they do so while the rest is made ready.
    let mcp = on("mcp").then(|| McpServers::open(app.agent(), config)).transpose()?;

    // 1. What judges a call: hooks may rewrite it, then it is kept for undo, then the gate decides on it as it is.
    if on("permissions") {
        app = app.with(Permissions { rules: config.rules()? });
    }
    if on("hooks") {
        app = s16_event_bus::join(app, config)?;
    }
    if on("checkpoints") {
        app = Checkpoints::default().join(app);
    }
    if on("parallel") {
        app = app.with(flags.parallel);
    }
    if on("cache") {
        app = PromptCache::new(Default::default()).join(app);
    }

    // 2. What a call can be.
    if on("skills") {
        let home = std::env::home_dir();
        let skills =
            Skills::from_dirs(s05_skill_loading::places(&app.agent().cwd, home.as_deref()));
        let news = skills.news(12);
        app = app.with(skills).notices(news);
    }
    if on("tasks") {
        app = TaskBoard::open(app.agent().cwd.join(TaskBoard::FILE)).join(app);
    }

    if let Some(mcp) = &mcp {
        app = mcp.clone().join(app, config);
    }

    // 3. What makes children. They are made of the finished agent, so the order has no meaning for them.
    if on("subagents") {
        let subagents = Subagents::load(app.agent())?;
        app = app.with(subagents);
    }

    if on("teams") {
        app = s22_production_mailbox::join(app, &flags.team, config).await?;
    }
    if on("worktrees") {
        app = s23_worktree_advanced::join(app, flags.tasks, TaskPrompts::LeadingBar)?;
    }

    // 4. What belongs to this one conversation.
    if on("plan") {
        app = app.with(Plan::default());
    }
    if on("sessions") {
        app = s17_session_management::join(app, flags.sessions)?;
    }
    if on("interrupts") {
        let lines = if config.attended() { Lines::All } else { Lines::Marked };
        app = Steering::new(lines).join(app);
    }
    if on("background") {
        let (background, lines) = Background::open(app.agent(), config.attended()).await?;
        app = background.join(app).notices(lines);
    }
    if on("compaction") {
        // A script has no window; the small one that s06 gives it is for s06's play.
        let script = (app.agent().model_id == "script").then(|| models::window(models::DEFAULT));
        app = Compact::open(app.agent(), flags.compaction.window.or(script))?.join(app);
    }

    if let Some(mcp) = mcp {
        app = app.notices(mcp.startup_notices().await);
    }
    let streaming = on("streaming");
    let lead = app.agent().name.clone();
    let about = "what is on, and who switched off what is not";
    let app = app
        .trusts(own, settings::check)
        .quick("mechanisms", about, move |_, _| Ok(settings.table()));
    let front = LineFront::from(app);
    if !streaming {
        return Ok(front);
    }
    Ok(front.display(|screen| Arc::new(Typewriter::new(screen, lead))))
}
