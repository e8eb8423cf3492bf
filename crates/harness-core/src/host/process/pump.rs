//! Output on its way from the pipes to bounded memory, a spill file and whoever looks on.

use std::{
    fs::{File, OpenOptions},
    future::pending,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    time::{Instant, timeout_at},
};

use super::{End, Finished, Limits, Spills};
use crate::host::text::Clipper;

/// After the child's end: so long without a byte, and the output counts as complete.
const QUIET: Duration = Duration::from_millis(60);
/// After the child's end: a background child that never stops talking is cut off here.
const DRAIN: Duration = Duration::from_millis(200);
/// What a pipe holds at most, so one read empties it.
const CHUNK: usize = 64 * 1024;

/// The most bytes that a spill file gets.
pub const SPILL_LIMIT: u64 = 64 * 1024 * 1024;

/// Moves output from the pipes to where it is kept.
pub(super) struct Pump<P> {
    pub(super) out: Option<pipe::Receiver>,
    pub(super) err: Option<pipe::Receiver>,
    stdout: Clipper,
    stderr: Clipper,
    spill: Spill,
    buffers: [Vec<u8>; 2],
    progress: P,
}

impl<P> Pump<P> {
    pub(super) fn new(limits: Limits, progress: P) -> Self {
        let clipper = || Clipper::new(limits.head, limits.tail);
        let (stdout, stderr) = (clipper(), clipper());
        let spills = limits.spills;
        let spill = Spill { path: limits.spill, spills, file: None, written: 0, fault: None };
        // Zeroed memory costs nothing until it is touched.
        let buffers = [vec![0; CHUNK], vec![0; CHUNK]];
        Self { out: None, err: None, stdout, stderr, spill, buffers, progress }
    }

    /// Reads the rest in the background and throws it away.
    pub(super) fn discard(&mut self) {
        for mut pipe in [self.out.take(), self.err.take()].into_iter().flatten() {
            tokio::spawn(async move {
                let mut bytes = vec![0; CHUNK];
                while matches!(pipe.read(&mut bytes).await, Ok(1..)) {}
            });
        }
    }

    pub(super) fn finish(self, end: End, took: Duration) -> Finished {
        let (spilled, spill_fault) = self.spill.close();
        let total = self.stdout.total();
        let (output, stderr) = (self.stdout.finish(), self.stderr.finish());
        Finished { end, output, stderr, total, spilled, spill_fault, took }
    }
}

impl<P: FnMut(&[u8])> Pump<P> {
    /// Waits for the next piece of output and keeps it; returns its length, 0 for the end of one
    /// stream. Never ready once both have ended.
    pub(super) async fn step(&mut self) -> usize {
        let [out, err] = &mut self.buffers;
        tokio::select! {
            read = read(&mut self.out, out) => {
                let bytes = &out[..read];
                if read > 0 {
                    (self.progress)(bytes);
                    self.spill.push(bytes, &self.stdout);
                    self.stdout.push(bytes);
                }
                read
            }
            read = read(&mut self.err, err) => {
                let bytes = &err[..read];
                if read > 0 {
                    (self.progress)(bytes);
                    self.stderr.push(bytes);
                }
                read
            }
        }
    }

    /// Reads for so long.
    pub(super) async fn read_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while timeout_at(until, self.step()).await.is_ok() {}
    }

    /// Takes what is still in the pipes, until they end or [`QUIET`] passes without a byte. What
    /// comes after two full pipes was said after the child's end (`yes &`) and is not waited for.
    pub(super) async fn drain(&mut self) {
        let limit = Instant::now() + DRAIN;
        let mut drained = 0;
        while (self.out.is_some() || self.err.is_some()) && drained <= 2 * CHUNK {
            let quiet = limit.min(Instant::now() + QUIET);
            match timeout_at(quiet, self.step()).await {
                Ok(bytes) => drained += bytes,
                Err(_) => break,
            }
        }
    }
}

async fn read(pipe: &mut Option<pipe::Receiver>, buffer: &mut [u8]) -> usize {
    let Some(open) = pipe else { return pending().await };
    match open.read(buffer).await {
        Ok(bytes @ 1..) => bytes,
        _ => {
            *pipe = None;
            0
        }
    }
}

/// The file for output that does not fit into memory. Written in place, not by another thread: it
/// goes to the page cache, and the child waits meanwhile, which is as it should be.
struct Spill {
    path: Option<PathBuf>,
    spills: Spills,
    file: Option<File>,
    written: u64,
    fault: Option<String>,
}

impl Spill {
    /// `before` is what came before these bytes, whole until the first overflow.
    fn push(&mut self, bytes: &[u8], before: &Clipper) {
        let Some(path) = &self.path else { return };
        let waits = self.file.is_none() && self.spills == Spills::Overflow;
        if self.fault.is_some() || (waits && before.has_room(bytes.len())) {
            return;
        }
        if let Err(error) = Self::write(path, &mut self.file, &mut self.written, bytes, before) {
            self.fault = Some(format!("{}: {error}", path.display()));
        }
    }

    fn write(
        path: &Path,
        file: &mut Option<File>,
        written: &mut u64,
        bytes: &[u8],
        before: &Clipper,
    ) -> io::Result<()> {
        let mut pieces = vec![bytes];
        let file = match file {
            Some(file) => file,
            None => {
                pieces.splice(..0, before.kept());
                if let Some(folder) = path.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                // New, never through a link that somebody has laid there; output may be private.
                file.insert(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?)
            }
        };
        for piece in pieces {
            let room = usize::try_from(SPILL_LIMIT - *written).unwrap_or(usize::MAX);
            let part = &piece[..piece.len().min(room)];
            file.write_all(part)?;
            *written += part.len() as u64;
            if part.len() < piece.len() {
                let cut = format!("cut after {SPILL_LIMIT} bytes");
                file.write_all(format!("\n[… {cut} …]\n").as_bytes())?;
                return Err(io::Error::other(cut));
            }
        }
        Ok(())
    }

    fn close(self) -> (Option<PathBuf>, Option<String>) {
        (self.path.filter(|_| self.file.is_some()), self.fault)
    }
}
