//! What happens to the lines that are typed while a turn runs.

/// Takes lines while a turn runs. Without one, every line waits as a next prompt.
pub trait Steering: Send + Sync {
    /// Takes the line, or lets it wait as a next prompt.
    fn typed(&self, line: String) -> SteeringOutcome;

    /// The turn is over: hands back the lines that were taken and never reached the model. They become the
    /// next prompts, in this order, before those that wait already.
    fn take_undelivered(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What became of a line that was typed while a turn runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SteeringOutcome {
    /// It waits as a next prompt. The line is handed back.
    Waits(String),
    /// It was taken. The text says so to the user.
    Taken(String),
}
