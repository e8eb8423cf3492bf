//! A program in a real terminal of a given size: keys go in, a screen comes out.
//!
//! Waiting here means reading until something is on the screen; a deadline only ends a test that would
//! wait for ever.

use std::io::{Read, Write};
use std::num::NonZero;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A key that is not a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Return.
    Enter,
    /// Escape.
    Escape,
    /// Tabulator.
    Tab,
    /// Backspace.
    Backspace,
    /// Cursor up.
    Up,
    /// Cursor down.
    Down,
    /// Interrupt.
    CtrlC,
    /// End of input.
    CtrlD,
}

impl Key {
    fn bytes(self) -> &'static str {
        match self {
            Self::Enter => "\r",
            Self::Escape => "\x1b",
            Self::Tab => "\t",
            Self::Backspace => "\x7f",
            Self::Up => "\x1b[A",
            Self::Down => "\x1b[B",
            Self::CtrlC => "\x03",
            Self::CtrlD => "\x04",
        }
    }
}

/// A terminal with a program in it. The program is killed when this is dropped.
pub struct Terminal {
    pty: Arc<pty_process::blocking::Pty>,
    child: Child,
    screen: Arc<(Mutex<Screen>, Condvar)>,
    patience: Duration,
}

struct Screen {
    parser: vt100::Parser,
    /// Everything that was ever printed, control sequences included.
    raw: Vec<u8>,
    ended: bool,
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").field("screen", &self.screen()).finish_non_exhaustive()
    }
}

impl Terminal {
    /// Starts the program; the terminal is its controlling one, so Ctrl-C is a signal to it.
    ///
    /// # Panics
    /// When the system gives no terminal or the program does not start.
    pub fn start(mut command: Command, columns: u16, rows: u16) -> Self {
        let (pty, pts) = pty_process::blocking::open().unwrap();
        pty.resize(pty_process::Size::new(rows, columns)).unwrap();
        if !command.get_envs().any(|(name, value)| name == "TERM" && value.is_some()) {
            command.env("TERM", "xterm-256color");
        }
        let child = pty_process::blocking::Command::from(command).spawn(pts).unwrap();
        let pty = Arc::new(pty);
        let parser = vt100::Parser::new(some(rows), some(columns), 10_000);
        let screen = Screen { parser, raw: Vec::new(), ended: false };
        let screen = Arc::new((Mutex::new(screen), Condvar::new()));
        let (reader, shown) = (pty.clone(), screen.clone());
        // Ends by itself: reading fails once the last program has left the terminal.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let read = (&*reader).read(&mut buffer).unwrap_or(0);
                let mut screen = shown.0.lock().unwrap_or_else(PoisonError::into_inner);
                screen.parser.process(&buffer[..read]);
                screen.raw.extend_from_slice(&buffer[..read]);
                screen.ended = read == 0;
                shown.1.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        Self { pty, child, screen, patience: Duration::from_secs(30) }
    }

    /// Another deadline for waiting than 30 seconds.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Types text.
    ///
    /// # Panics
    /// When the program has left.
    pub fn send(&self, text: &str) -> &Self {
        (&*self.pty).write_all(text.as_bytes()).unwrap();
        self
    }

    /// Presses a key.
    ///
    /// # Panics
    /// When the program has left.
    pub fn key(&self, key: Key) -> &Self {
        self.send(key.bytes())
    }

    /// Types a line and presses Enter.
    ///
    /// # Panics
    /// When the program has left.
    pub fn line(&self, text: &str) -> &Self {
        self.send(text).key(Key::Enter)
    }

    /// Makes the window another size.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn resize(&self, columns: u16, rows: u16) {
        self.pty.resize(pty_process::Size::new(rows, columns)).unwrap();
        self.lock().parser.screen_mut().set_size(some(rows), some(columns));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Screen> {
        self.screen.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the screen shows now, without trailing blanks.
    pub fn screen(&self) -> String {
        shown(&self.lock())
    }

    /// Everything printed so far, as it came, control sequences included.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.lock().raw).into_owned()
    }

    /// Reads until the screen shows this text, and returns the screen.
    ///
    /// # Panics
    /// At the deadline, or when the program ends without having shown it.
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_until(&format!("{text:?}"), |screen| screen.contains(text))
    }

    /// Reads until the screen is as wished, and returns it.
    ///
    /// # Panics
    /// At the deadline, or when the program ends before.
    pub fn wait_until(&self, wish: &str, is_so: impl Fn(&str) -> bool) -> String {
        self.wait(wish, |screen| is_so(&shown(screen)));
        self.screen()
    }

    fn wait(&self, wish: &str, is_so: impl Fn(&Screen) -> bool) {
        let deadline = Instant::now() + self.patience;
        let mut screen = self.lock();
        while !is_so(&screen) {
            let left = deadline.saturating_duration_since(Instant::now());
            let (ended, now) = (screen.ended, shown(&screen));
            assert!(!ended, "the program ended before it showed {wish}; the screen:\n{now}");
            assert!(!left.is_zero(), "waited in vain for {wish}; the screen:\n{now}");
            let waited = self.screen.1.wait_timeout(screen, left);
            screen = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Reads until the program has ended, and returns how.
    ///
    /// # Panics
    /// At the deadline.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        self.wait("its end", |screen| screen.ended);
        self.child.wait().unwrap()
    }

    /// The program's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn some(size: u16) -> NonZero<u16> {
    NonZero::new(size).unwrap()
}

fn shown(screen: &Screen) -> String {
    let (_, columns) = screen.parser.screen().size();
    let rows = screen.parser.screen().rows(0, columns.get());
    let rows: Vec<String> = rows.map(|row| row.trim_end().to_owned()).collect();
    rows.join("\n").trim_end().to_owned()
}
