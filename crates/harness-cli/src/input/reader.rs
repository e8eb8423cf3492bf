//! The thread that reads standard input for [`Input`](super::Input): by the prompt, by the question, or watching.

use std::io::{self, BufRead};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use harness_core::Mutex;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{self, QueueSelector};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};
use tokio::sync::{mpsc as tokio_mpsc, oneshot};

use super::protocol::{Ahead, Shared, Typed, Want};
use crate::screen::Screen;

/// What the thread has.
pub(crate) struct Reader {
    pub(crate) wanted: Receiver<Want>,
    pub(crate) wake: io::PipeReader,
    pub(crate) send: tokio_mpsc::Sender<Typed>,
    pub(crate) shared: Arc<Mutex<Shared>>,
    pub(crate) screen: Screen,
}

/// What a poll of the terminal found.
enum Seen {
    Wanted(Want),
    Bytes(Vec<u8>),
    End,
}

impl Reader {
    pub(crate) fn pipe(self) {
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

    pub(crate) fn terminal(self, history: Option<PathBuf>) {
        let mut editor = None;
        let mut next = self.wanted.recv().ok();
        while let Some(want) = next {
            next = match want {
                Want::Prompt(prompt) if !self.shared.lock().orphans.is_empty() => {
                    // A line for a question that nobody waits for any more: it was meant for here.
                    let line = self.shared.lock().orphans.pop_front().unwrap_or_default();
                    self.shared.lock().at_prompt = false;
                    self.screen.prompt_open(false);
                    self.screen.line(format!("{prompt}{line}"));
                    match self.send.blocking_send(Typed::Line(line)) {
                        Ok(()) => self.wanted.recv().ok(),
                        Err(_) => None,
                    }
                }
                Want::Prompt(prompt) => {
                    self.shared.lock().at_prompt = true;
                    self.screen.prompt_open(true);
                    let editor = editor.get_or_insert_with(|| self.editor(history.as_ref()));
                    let typed = self.edit(editor, &prompt, history.as_ref());
                    self.shared.lock().at_prompt = false;
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
            let asked = self.shared.lock().question.take();
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
            self.shared.lock().orphans.push_back(line);
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
}
