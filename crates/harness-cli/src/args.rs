//! The flags that every session shares.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use harness_app::{OutputFormat, RunOptions};

/// Shared flags. A session's own stand beside them.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SharedFlags {
    /// Send one prompt, print the answer and leave; without a text it is read from standard input
    #[arg(short, long, value_name = "TEXT", num_args = 0..=1, default_missing_value = "-")]
    pub(crate) prompt: Option<String>,

    /// Play the prepared script even if a key is set
    #[arg(long, conflicts_with = "human")]
    pub(crate) demo: bool,

    /// You are the model: see what a model sees, and answer for it
    #[arg(long)]
    pub(crate) human: bool,

    /// Ask before running anything that no rule allows (the whole policy of permissions.yaml)
    #[arg(long)]
    pub(crate) ask: bool,

    /// Allow commands matching this regex without a question, such as 'make( .*)?', for this run (repeatable)
    #[arg(long, value_name = "RULE")]
    pub(crate) allow: Vec<String>,

    /// Let the file tools write inside the workspace without a question, for this run
    #[arg(long)]
    pub(crate) accept_edits: bool,

    /// The model's id [default: $MODEL_ID, else claude-sonnet-5-5]
    #[arg(long, value_name = "ID")]
    pub(crate) model: Option<String>,

    /// Where the agent works [default: the current directory; for a play, a fresh playground]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) workspace: Option<PathBuf>,

    /// The folder with permissions.yaml and other configuration [default: $HARNESS_CONFIG, else this repository's]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) config: Option<PathBuf>,

    /// Give up after this many steps of one turn
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_steps: u32,

    /// With -p: what is printed
    #[arg(long, value_name = "FORMAT", default_value = "text", requires = "prompt")]
    output_format: FormatFlag,

    /// A subcommand was given. It works where it is called: no playground, no prompt line.
    #[arg(skip)]
    pub(crate) subcommand: bool,
}

/// [`OutputFormat`] as a flag's value.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum FormatFlag {
    /// The answer
    #[default]
    Text,
    /// One JSON object when it is over
    Json,
    /// A JSON object for each thing that happens, one a line
    StreamJson,
}

impl SharedFlags {
    /// What `-p` prints.
    pub(crate) fn output_format(&self) -> OutputFormat {
        match self.output_format {
            FormatFlag::Text => OutputFormat::Text,
            FormatFlag::Json => OutputFormat::Json,
            FormatFlag::StreamJson => OutputFormat::StreamJson,
        }
    }

    /// What the flags say of the configuration of this run. Whether somebody is there they do not know.
    pub(crate) fn run_options(&self) -> RunOptions {
        RunOptions {
            config_folder: self.config.clone(),
            allow: self.allow.clone(),
            accept_edits: self.accept_edits,
            attended: false,
        }
    }
}

/// No flags of its own.
#[derive(Args, Clone, Copy, Debug)]
pub struct NoFlags {}

/// Subcommands and no flags of its own, for [`main_with`](crate::main_with).
#[derive(Args, Clone, Copy, Debug)]
pub struct Commands<C: clap::Subcommand> {
    /// The one that was given.
    #[command(subcommand)]
    pub command: Option<C>,
}
