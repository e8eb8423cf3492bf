//! The one writer to the terminal: words, lines, a spinner, and printing above an open prompt.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use harness_core::Mutex;
use harness_core::host::text;
use rustyline::ExternalPrinter;

use crate::say::{self, Unsaid};
use crate::wide::{cut, wide};

/// Faint: details for those who want to look.
pub const DIM: Style = Style::new().dimmed();
/// Names and headings.
pub const BOLD: Style = Style::new().bold();
/// What went wrong.
pub const RED: Style = AnsiColor::Red.on_default();
/// What was done.
pub const CYAN: Style = AnsiColor::Cyan.on_default();

const FRAMES: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// Where text goes. Cheap to clone.
#[derive(Clone)]
pub struct Screen(Arc<Mutex<Inner>>);

struct Inner {
    out: Out,
    terminal: bool,
    /// It is a terminal that can paint over what it shows.
    paints: bool,
    color: bool,
    printer: Option<Box<dyn ExternalPrinter + Send>>,
    prompt_open: bool,
    /// Text that waits for the end of its line, while a prompt is open.
    held: String,
    at_line_start: bool,
    spinner: Option<Spinner>,
    /// Why something is missing in what was written.
    lost: Option<Unsaid>,
}

/// Where a screen's text ends up.
enum Out {
    Stdout,
    Stderr,
    Memory(String),
}

struct Spinner {
    label: String,
    since: Instant,
    frame: usize,
    /// How many columns of it stand on the screen.
    drawn: usize,
}

impl Screen {
    /// Writes to standard output.
    pub fn stdout() -> Self {
        let stdout = io::stdout();
        let color = AutoStream::choice(&stdout) != ColorChoice::Never;
        Self::new(Out::Stdout, stdout.is_terminal(), color)
    }

    /// Writes to standard error: with `-p`, standard output is for the answer alone.
    pub fn stderr() -> Self {
        let stderr = io::stderr();
        let color = AutoStream::choice(&stderr) != ColorChoice::Never;
        Self::new(Out::Stderr, stderr.is_terminal(), color)
    }

    /// Keeps what is written, plain and uncut as for a pipe. For the test of a display.
    pub fn memory() -> Self {
        Self::new(Out::Memory(String::new()), false, false)
    }

    /// What was written so far to a screen made by [`Screen::memory`]; nothing for the others.
    pub fn written(&self) -> String {
        match &self.0.lock().out {
            Out::Memory(written) => written.clone(),
            _ => String::new(),
        }
    }

    fn new(out: Out, terminal: bool, color: bool) -> Self {
        let paints = paints(std::env::var_os("TERM").as_deref());
        Self(Arc::new(Mutex::new(Inner {
            out,
            terminal,
            paints: terminal && paints,
            color: color && (paints || !terminal), // where CI is set, anstream colours a dumb terminal too
            printer: None,
            prompt_open: false,
            held: String::new(),
            at_line_start: true,
            spinner: None,
            lost: None,
        })))
    }

    /// Text as it comes; it must be stripped of control sequences already.
    pub fn print(&self, text: &str) {
        self.0.lock().write(text);
    }

    /// Styled text as it comes.
    pub fn styled(&self, style: Style, text: &str) {
        let mut inner = self.0.lock();
        let styled = inner.paint(style, text);
        inner.write(&styled);
    }

    /// A line of its own.
    pub fn line(&self, text: impl Display) {
        let mut inner = self.0.lock();
        inner.fresh_line();
        inner.write(&format!("{text}\n"));
    }

    /// A styled line of its own, cut to the terminal's width.
    pub fn styled_line(&self, style: Style, text: &str) {
        let mut inner = self.0.lock();
        inner.fresh_line();
        let text = text::strip(text);
        let shown = if inner.terminal { cut(&text, width()) } else { text.into_owned() };
        let styled = inner.paint(style, &shown);
        inner.write(&format!("{styled}\n"));
    }

    /// A styled line of its own that is not cut: it may hold a path that somebody wants to copy.
    pub fn styled_lines(&self, style: Style, text: &str) {
        let mut inner = self.0.lock();
        inner.fresh_line();
        let styled = inner.paint(style, &text::strip(text));
        inner.write(&format!("{styled}\n"));
    }

    /// What went wrong, in a line.
    pub fn error(&self, text: impl Display) {
        let mut inner = self.0.lock();
        inner.fresh_line();
        let styled = inner.paint(RED, &format!("error: {text}"));
        inner.write(&format!("{styled}\n"));
    }

    /// Ends the line, if one is begun.
    pub fn end_line(&self) {
        self.0.lock().fresh_line();
    }

    /// Shows a spinner with this label. It is drawn only on a terminal without an open prompt.
    pub fn spin(&self, label: impl Into<String>) {
        let mut inner = self.0.lock();
        // A server names the tool that is being written; it must not drive the terminal.
        let label = text::strip(&label.into()).replace('\n', " ");
        match &mut inner.spinner {
            Some(spinner) => spinner.label = label,
            None => {
                let since = Instant::now();
                inner.spinner = Some(Spinner { label, since, frame: 0, drawn: 0 });
            }
        }
    }

    /// Takes the spinner away.
    pub fn rest(&self) {
        let mut inner = self.0.lock();
        inner.erase();
        inner.spinner = None;
    }

    /// The next frame of the spinner. Called ten times a second while a turn runs.
    pub fn tick(&self) {
        let mut inner = self.0.lock();
        if !inner.paints || inner.prompt_open || !inner.at_line_start {
            return;
        }
        let Some(spinner) = &mut inner.spinner else { return };
        spinner.frame += 1;
        let frame = FRAMES[spinner.frame % FRAMES.len()];
        let label = spinner.label.clone();
        let seconds = spinner.since.elapsed().as_secs();
        let line = cut(&format!("{frame} {label} {seconds:>2} s "), width());
        let columns = wide(&line);
        let stays = spinner.drawn == columns;
        let line = inner.paint(DIM, &line);
        if stays {
            // Behind it may stand what the user is typing: paint over the spinner alone, and go back.
            inner.put(&format!("\x1b7\r{line}\x1b8"));
        } else {
            inner.put(&format!("\r\x1b[K{line}"));
            inner.spinner.iter_mut().for_each(|spinner| spinner.drawn = columns);
        }
    }

    /// The user has ended a line while no prompt was open: the terminal itself has shown it.
    pub(crate) fn entered(&self) {
        let mut inner = self.0.lock();
        if inner.terminal && !inner.prompt_open {
            inner.at_line_start = true;
            inner.erase(); // a spinner that was painted on the new line already; the old one stays
        }
    }

    pub(crate) fn set_printer(&self, printer: Box<dyn ExternalPrinter + Send>) {
        self.0.lock().printer = Some(printer);
    }

    pub(crate) fn prompt_open(&self, open: bool) {
        let mut inner = self.0.lock();
        if open {
            inner.fresh_line();
            inner.erase();
            inner.spinner = None;
        } else if !inner.held.is_empty() {
            let held = std::mem::take(&mut inner.held);
            inner.put(&held);
        }
        inner.prompt_open = open;
        inner.at_line_start = true;
    }

    /// The program leaves while its prompt stands open. Nobody edits there any more, and what is still to be
    /// said would wait for an editor in vain: it is written below, at once.
    pub(crate) fn leave_prompt(&self) {
        let mut inner = self.0.lock();
        if std::mem::take(&mut inner.prompt_open) && inner.printer.is_some() {
            let held = std::mem::take(&mut inner.held);
            inner.put(&format!("\x1b[?2004l\n{held}")); // and pasting is as it was before the editor
            inner.at_line_start = true;
        }
    }

    /// Whether all that went to standard output was taken, to be asked at the end. A reader that has gone
    /// away is no fault.
    ///
    /// # Errors
    /// Why it was not, once.
    pub fn check(&self) -> Result<(), Unsaid> {
        self.0.lock().lost.take().map_or(Ok(()), Err)
    }
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Screen")
    }
}

impl Inner {
    fn write(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.prompt_open && self.printer.is_some() {
            self.held.push_str(text);
            if let Some(end) = self.held.rfind('\n') {
                let whole: String = self.held.drain(..=end).collect();
                let _ = self.printer.as_mut().map(|printer| printer.print(whole));
            }
            self.at_line_start = self.held.is_empty();
            return;
        }
        self.erase();
        self.put(text);
        self.at_line_start = text.ends_with('\n');
    }

    /// The work goes on without its reader: what is wrong is kept for [`Screen::check`].
    fn put(&mut self, text: &str) {
        match &mut self.out {
            Out::Stderr => _ = io::stderr().write_all(text.as_bytes()),
            Out::Stdout => {
                let lost = say::write(text.as_bytes()).err().map(Unsaid);
                self.lost = self.lost.take().or(lost.filter(|lost| !lost.nobody_reads()));
            }
            Out::Memory(written) => written.push_str(text),
        }
    }

    fn fresh_line(&mut self) {
        if !self.at_line_start {
            self.write("\n");
        }
    }

    fn erase(&mut self) {
        if self.spinner.as_mut().is_some_and(|spinner| std::mem::take(&mut spinner.drawn) > 0) {
            self.put("\r\x1b[K");
        }
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// The terminal's width in columns; 80 where it is not known.
pub fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    size.ok().map(|size| usize::from(size.ws_col)).filter(|&columns| columns > 0).unwrap_or(80)
}

/// How wide printed lines may be, in columns: the terminal's width; without a limit in a pipe.
pub fn columns() -> usize {
    if io::stdout().is_terminal() { width() } else { usize::MAX }
}

/// How long ago it was, in a few characters: `12 s`, `3 min`, `5 h`, `9 d`.
pub fn age(since: SystemTime) -> String {
    let seconds = since.elapsed().unwrap_or_default().as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A number of bytes in a few characters: `912 B`, `34 kB`, `5 MB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

/// A terminal of this kind knows control sequences.
fn paints(term: Option<&OsStr>) -> bool {
    term.is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_that_says_it_is_dumb_gets_no_spinner() {
        for (term, spins) in [("dumb", false), ("xterm-256color", true)] {
            let screen = Screen::memory();
            screen.0.lock().paints = paints(Some(term.as_ref()));
            screen.spin("bash");
            screen.tick();
            assert_eq!(screen.written().contains('\u{1b}'), spins, "{term}");
        }
    }

    #[test]
    fn ages_and_sizes_are_short() {
        let ago = |seconds| age(SystemTime::now() - std::time::Duration::from_secs(seconds));
        assert_eq!([ago(65), ago(3700), ago(90_000)], ["1 min", "1 h", "1 d"]);
        let future = SystemTime::now() + std::time::Duration::from_secs(60);
        assert_eq!(age(future), "0 s");
        assert_eq!([size(999), size(1000), size(200_000_000)], ["999 B", "1 kB", "200 MB"]);
    }
}
