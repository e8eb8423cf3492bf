//! The one reader of standard input. Prompt lines, lines typed during a turn and answers to questions
//! all come through it, so that no two readers ever fight for a key.
//!
//! A thread of its own reads, because reading blocks. On a terminal it has three states: a prompt with
//! editing (rustyline), a question (a plain line, with everything typed before it thrown away), and
//! watching, while a turn runs, for whole lines that are typed meanwhile. From a pipe it only reads
//! lines. Nothing here decides what a line means.

use std::collections::VecDeque;
use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{self, OptionalActions, QueueSelector, Termios};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};
use tokio::sync::{mpsc as tokio_mpsc, oneshot};

use crate::screen::Screen;

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// A line, without its end.
    Line(String),
    /// Ctrl-C at the prompt.
    Interrupted,
    /// There is no more.
    End,
}

enum Want {
    Prompt(String),
    Question(String, Ahead, oneshot::Sender<Option<String>>),
    Watch,
}

/// What was typed before a question was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// It may answer it.
    Counts,
    /// It must never count as a yes: with lines waiting the answer is none, and half a line is thrown away.
    Refused,
}

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

#[derive(Default)]
struct Shared {
    /// The prompt line is being edited.
    at_prompt: bool,
    /// A question that the next line of the open prompt answers.
    question: Option<oneshot::Sender<Option<String>>>,
    /// Lines typed during a turn that nobody has taken yet.
    ahead: VecDeque<String>,
    /// Lines typed at a question whose turn was interrupted meanwhile.
    orphans: VecDeque<String>,
}

impl Input {
    /// Starts the reader. `history` keeps what was typed at the prompt.
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
        thread::Builder::new().name("stdin".to_owned()).spawn(move || match terminal {
            true => reader.terminal(history),
            false => reader.pipe(),
        })?;
        let typed = Arc::new(tokio::sync::Mutex::new(typed));
        Ok(Self { wants, wake: Arc::new(wake), typed, shared, screen, saved })
    }

    /// Whether a person sits there.
    pub fn is_terminal(&self) -> bool {
        is_terminal()
    }

    /// Shows the prompt; what is typed comes through [`Input::next`].
    pub fn prompt(&self, prompt: &str) {
        match self.is_terminal() {
            true => self.want(Want::Prompt(prompt.to_owned())),
            false => self.screen.print(prompt),
        }
    }

    /// A turn begins: lines that are typed during it come through [`Input::next`].
    pub fn watch(&self) {
        if self.is_terminal() && !self.lock().at_prompt {
            self.want(Want::Watch);
        }
    }

    /// The next thing that comes in. Safe to drop half-way.
    pub async fn next(&self) -> Typed {
        self.typed.lock().await.recv().await.unwrap_or(Typed::End)
    }

    /// Keeps a line that was typed during a turn for a later prompt.
    pub fn keep_ahead(&self, line: String) {
        self.lock().ahead.push_back(line);
    }

    /// The first line that was kept.
    pub fn take_ahead(&self) -> Option<String> {
        self.lock().ahead.pop_front()
    }

    /// Asks the person at the terminal. `None` is no answer: the input ended, nobody is there, or
    /// something had been typed ahead.
    pub async fn question(&self, question: &str, ahead: Ahead) -> Option<String> {
        if !self.is_terminal() {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        let at_prompt = {
            let mut shared = self.lock();
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
            self.lock().at_prompt = true;
            self.screen.prompt_open(true);
        }
        let _ = self.wants.send(want);
        let _ = (&*self.wake).write_all(b".");
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
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

struct Reader {
    wanted: Receiver<Want>,
    wake: io::PipeReader,
    send: tokio_mpsc::Sender<Typed>,
    shared: Arc<Mutex<Shared>>,
    screen: Screen,
}

/// What a poll of the terminal found.
enum Seen {
    Wanted(Want),
    Bytes(Vec<u8>),
    End,
}

impl Reader {
    fn pipe(self) {
        let mut stdin = io::stdin().lock();
        let mut line = Vec::new();
        while matches!(stdin.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line);
            let text = text.strip_suffix('\n').unwrap_or(&text);
            let text = text.strip_suffix('\r').unwrap_or(text).to_owned();
            line.clear();
            if self.send.blocking_send(Typed::Line(text)).is_err() {
                return;
            }
        }
        let _ = self.send.blocking_send(Typed::End);
    }

    fn terminal(self, history: Option<PathBuf>) {
        let mut editor = None;
        let mut next = self.wanted.recv().ok();
        while let Some(want) = next {
            next = match want {
                Want::Prompt(prompt) if !self.lock().orphans.is_empty() => {
                    // A line for a question that nobody waits for any more: it was meant for here.
                    let line = self.lock().orphans.pop_front().unwrap_or_default();
                    self.lock().at_prompt = false;
                    self.screen.prompt_open(false);
                    self.screen.line(format!("{prompt}{line}"));
                    match self.send.blocking_send(Typed::Line(line)) {
                        Ok(()) => self.wanted.recv().ok(),
                        Err(_) => None,
                    }
                }
                Want::Prompt(prompt) => {
                    self.lock().at_prompt = true;
                    self.screen.prompt_open(true);
                    let editor = editor.get_or_insert_with(|| self.editor(history.as_ref()));
                    let typed = self.edit(editor, &prompt, history.as_ref());
                    self.lock().at_prompt = false;
                    self.screen.prompt_open(false);
                    match self.send.blocking_send(typed) {
                        Ok(()) => self.wanted.recv().ok(),
                        Err(_) => None,
                    }
                }
                Want::Question(question, ahead, answer) => self.question(&question, ahead, answer),
                Want::Watch => self.watch(),
            };
        }
    }

    fn editor(&self, history: Option<&PathBuf>) -> Option<Editor<(), FileHistory>> {
        let config = Config::builder().auto_add_history(false).max_history_size(1000).ok()?.build();
        let mut editor = Editor::<(), FileHistory>::with_config(config).ok()?;
        if let Ok(printer) = editor.create_external_printer() {
            self.screen.set_printer(Box::new(printer));
        }
        if let Some(history) = history {
            let _ = editor.load_history(history);
        }
        Some(editor)
    }

    fn edit(
        &self,
        editor: &mut Option<Editor<(), FileHistory>>,
        prompt: &str,
        history: Option<&PathBuf>,
    ) -> Typed {
        let Some(editor) = editor else { return Typed::End };
        loop {
            let result = editor.readline(prompt);
            let asked = self.lock().question.take();
            let typed = match result {
                Ok(line) if asked.is_none() => {
                    if !line.trim().is_empty() && editor.add_history_entry(&line).unwrap_or(false) {
                        let _ = history.map(|path| editor.append_history(path));
                    }
                    return Typed::Line(line);
                }
                Ok(line) => Some(line),
                Err(ReadlineError::Interrupted) if asked.is_none() => return Typed::Interrupted,
                Err(ReadlineError::Interrupted) => None,
                Err(_) => return Typed::End,
            };
            // The line answered a question, and the prompt stays open.
            let _ = asked.map(|asked| asked.send(typed));
        }
    }

    /// Reads one plain line. It ends early when something else is wanted.
    fn question(
        &self,
        question: &str,
        ahead: Ahead,
        answer: oneshot::Sender<Option<String>>,
    ) -> Option<Want> {
        if ahead == Ahead::Refused {
            let _ = termios::tcflush(io::stdin(), QueueSelector::IFlush);
        }
        // Shown by this thread, and only now: what is typed from here on is an answer to it.
        self.screen.print(question);
        let mut line = Vec::new();
        while !line.contains(&b'\n') {
            match self.look() {
                Seen::Bytes(bytes) => line.extend(bytes),
                Seen::Wanted(want) => {
                    let _ = answer.send(None);
                    return Some(want);
                }
                Seen::End => {
                    let _ = answer.send(None);
                    return self.wanted.recv().ok();
                }
            }
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if let Err(Some(line)) = answer.send(Some(line)) {
            self.lock().orphans.push_back(line);
        }
        self.wanted.recv().ok()
    }

    /// Collects whole lines until something else is wanted.
    fn watch(&self) -> Option<Want> {
        let mut pending = Vec::new();
        loop {
            match self.look() {
                Seen::Wanted(want) => return Some(want),
                Seen::End => {
                    let _ = self.send.blocking_send(Typed::End);
                    return self.wanted.recv().ok();
                }
                Seen::Bytes(bytes) => pending.extend(bytes),
            }
            while let Some(end) = pending.iter().position(|byte| b"\r\n".contains(byte)) {
                let line: Vec<u8> = pending.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if self.send.blocking_send(Typed::Line(line)).is_err() {
                    return None;
                }
            }
        }
    }

    /// Waits for bytes from the terminal or for a new want. The terminal is in its line mode here, so
    /// bytes come as whole lines; what is typed of the next line stays in the terminal's own buffer,
    /// where the prompt finds it.
    fn look(&self) -> Seen {
        let stdin = rustix::stdio::stdin();
        let mut fds = [PollFd::new(&self.wake, PollFlags::IN), PollFd::new(&stdin, PollFlags::IN)];
        if poll(&mut fds, None).is_err() {
            return Seen::Bytes(Vec::new()); // a signal; look again
        }
        if !fds[0].revents().is_empty() {
            // A want that was taken without looking leaves its byte behind: then there is none here.
            let _ = io::Read::read(&mut &self.wake, &mut [0; 1]);
            return self.wanted.try_recv().map_or(Seen::Bytes(Vec::new()), Seen::Wanted);
        }
        if fds[1].revents().is_empty() {
            return Seen::Bytes(Vec::new());
        }
        let mut bytes = vec![0; 4096];
        match rustix::io::read(stdin, &mut bytes[..]) {
            Ok(0) | Err(_) => Seen::End,
            Ok(n) => {
                bytes.truncate(n);
                Seen::Bytes(bytes)
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
