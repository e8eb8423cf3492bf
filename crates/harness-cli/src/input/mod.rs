//! The one reader of standard input. Prompt lines, lines typed during a turn and answers to questions
//! all come through it, so that no two readers ever fight for a key.
//!
//! A thread of its own reads, because reading blocks. On a terminal it has three states: a prompt with
//! editing (rustyline), a question (a plain line, with everything typed before it thrown away), and
//! watching, while a turn runs, for whole lines that are typed meanwhile. From a pipe it only reads
//! lines. Nothing here decides what a line means.

mod protocol;
mod reader;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::{io, thread};

use harness_core::Mutex;
use rustix::termios::{self, OptionalActions, Termios};
use tokio::sync::{mpsc as tokio_mpsc, oneshot};

pub use protocol::{Ahead, Typed};

use crate::screen::Screen;
use protocol::{Shared, Want};
use reader::Reader;

/// The reader. Cheap to clone.
#[derive(Clone)]
pub struct Input {
    wants: Sender<Want>,
    wake: Arc<io::PipeWriter>,
    typed: Arc<tokio::sync::Mutex<tokio_mpsc::Receiver<Typed>>>,
    shared: Arc<Mutex<Shared>>,
    screen: Screen,
    saved: Option<Termios>,
}

impl Input {
    /// Starts the reader. `history` keeps what was typed at the prompt.
    ///
    /// # Errors
    /// The system gives no pipe or no thread.
    pub fn start(screen: Screen, history: Option<PathBuf>) -> io::Result<Self> {
        let (wants, wanted) = mpsc::channel();
        let (send, typed) = tokio_mpsc::channel(1024);
        let (wake_reader, wake) = io::pipe()?;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let terminal = is_terminal();
        let saved = if terminal { termios::tcgetattr(io::stdin()).ok() } else { None };
        let reader = Reader {
            wanted,
            wake: wake_reader,
            send,
            shared: shared.clone(),
            screen: screen.clone(),
        };
        let read = move || if terminal { reader.terminal(history) } else { reader.pipe() };
        thread::Builder::new().name("stdin".to_owned()).spawn(read)?;
        let typed = Arc::new(tokio::sync::Mutex::new(typed));
        Ok(Self { wants, wake: Arc::new(wake), typed, shared, screen, saved })
    }

    /// Whether a person sits there.
    pub fn is_terminal(&self) -> bool {
        is_terminal()
    }

    /// Shows the prompt; what is typed comes through [`Input::next`].
    pub fn prompt(&self, prompt: &str) {
        if self.is_terminal() {
            self.want(Want::Prompt(prompt.to_owned()));
        } else {
            self.screen.print(prompt);
        }
    }

    /// A turn begins: lines that are typed during it come through [`Input::next`].
    pub fn watch(&self) {
        if self.is_terminal() && !self.shared.lock().at_prompt {
            self.want(Want::Watch);
        }
    }

    /// The next thing that comes in. Safe to drop half-way.
    pub async fn next(&self) -> Typed {
        self.typed.lock().await.recv().await.unwrap_or(Typed::End)
    }

    /// Keeps a line that was typed during a turn for a later prompt.
    pub fn keep_ahead(&self, line: String) {
        self.shared.lock().ahead.push_back(line);
    }

    /// The same for lines that come before those that are kept already.
    pub fn keep_first(&self, lines: Vec<String>) {
        let mut shared = self.shared.lock();
        lines.into_iter().rev().for_each(|line| shared.ahead.push_front(line));
    }

    /// The first line that was kept.
    pub fn take_ahead(&self) -> Option<String> {
        self.shared.lock().ahead.pop_front()
    }

    /// Asks the person at the terminal. `None` is no answer: the input ended, nobody is there, or
    /// something had been typed ahead.
    pub async fn question(&self, question: &str, ahead: Ahead) -> Option<String> {
        if !self.is_terminal() {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        let at_prompt = {
            let mut shared = self.shared.lock();
            match (ahead, shared.ahead.pop_front()) {
                (_, None) => {}
                (Ahead::Counts, line) => return line,
                (Ahead::Refused, Some(line)) => {
                    shared.ahead.push_front(line);
                    return None;
                }
            }
            if shared.at_prompt {
                shared.question = Some(answer);
                None
            } else {
                Some(answer)
            }
        };
        match at_prompt {
            None => self.screen.line(question),
            Some(answer) => self.want(Want::Question(question.to_owned(), ahead, answer)),
        }
        let answer = answered.await.ok().flatten();
        self.watch();
        answer
    }

    /// Gives the terminal back as it was found.
    pub fn restore(&self) {
        if let Some(saved) = &self.saved {
            let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, saved);
        }
    }

    fn want(&self, want: Want) {
        if matches!(want, Want::Prompt(_)) {
            self.shared.lock().at_prompt = true;
            self.screen.prompt_open(true);
        }
        let _ = self.wants.send(want);
        let _ = (&*self.wake).write_all(b".");
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Input")
    }
}

fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}
