//! The flags that every session shares.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Shared flags. A session's own stand beside them.
#[derive(Args, Clone, Debug, Default)]
pub struct Shared {
    /// Send one prompt, print the answer and leave; without a text it is read from standard input
    #[arg(short, long, value_name = "TEXT", num_args = 0..=1, default_missing_value = "-")]
    pub prompt: Option<String>,

    /// Play the prepared script even if a key is set
    #[arg(long, conflicts_with = "human")]
    pub demo: bool,

    /// You are the model: see what a model sees, and answer for it
    #[arg(long)]
    pub human: bool,

    /// Ask before a call that no rule allows (the whole policy of permissions.yaml)
    #[arg(long)]
    pub ask: bool,

    /// Where calls are asked about: let pass the commands that this regex matches, such as 'make( .*)?', for this run; may be given again
    #[arg(long, value_name = "RULE")]
    pub allow: Vec<String>,

    /// Where calls are asked about: let the file tools write inside the workspace, for this run
    #[arg(long)]
    pub accept_edits: bool,

    /// The model's id [default: $MODEL_ID, else claude-sonnet-5-5]
    #[arg(long, value_name = "ID")]
    pub model: Option<String>,

    /// Where the agent works [default: the current directory; for a play, a fresh playground]
    #[arg(long, value_name = "DIR", global = true)]
    pub workspace: Option<PathBuf>,

    /// Where permissions.yaml and its like are [default: $HARNESS_CONFIG, else this repository's]
    #[arg(long, value_name = "DIR", global = true)]
    pub config: Option<PathBuf>,

    /// Give up after so many steps of one turn
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_steps: u32,

    /// With -p: what is printed
    #[arg(long, value_name = "FORMAT", default_value = "text", requires = "prompt")]
    pub output_format: OutputFormat,

    /// A subcommand was given. It works where it is called: no playground, no prompt line.
    #[arg(skip)]
    pub subcommand: bool,
}

/// What `-p` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// The answer.
    #[default]
    Text,
    /// One JSON object when it is over.
    Json,
    /// A JSON object for each thing that happens, one a line.
    StreamJson,
}
