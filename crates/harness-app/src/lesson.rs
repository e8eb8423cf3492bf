//! What a front needs to know of a session: its name, its motto, its play.

/// A session, as its `LESSON` constant describes it.
#[derive(Clone, Copy, Debug)]
pub struct Lesson {
    /// The package's name, `s03_todo_write`.
    pub name: &'static str,
    /// The lesson in a sentence; the same as in the README's table.
    pub motto: &'static str,
    /// The play, `demo.yaml`.
    pub play: &'static str,
}

impl Lesson {
    /// `s03` of `s03_todo_write`, for a prompt.
    pub fn short(&self) -> &'static str {
        self.name.split('_').next().unwrap_or(self.name)
    }
}
