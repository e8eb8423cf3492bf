//! Moves output from the pipes to bounded memory, to a spill file and to the progress callback.

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

/// After the child's end, the output counts as complete when no byte has come for this long.
const QUIET_PERIOD: Duration = Duration::from_millis(60);
/// How long output is read after the child's end, for a background child that never stops printing.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(200);
/// How many bytes are read at once: what a pipe holds at most, so that one read empties it.
const CHUNK_BYTES: usize = 64 * 1024;

/// The most bytes of output in a spill file.
pub const SPILL_LIMIT: u64 = 64 * 1024 * 1024;

/// Reads the pipes of one child.
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
        let spills = limits.spills;
        let spill = Spill { path: limits.spill, spills, file: None, written: 0, fault: None };
        Self {
            out: None,
            err: None,
            stdout: clipper(),
            stderr: clipper(),
            spill,
            // Zeroed memory costs nothing until it is touched.
            buffers: [vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]],
            progress,
        }
    }

    /// Reads the rest in the background and discards it.
    pub(super) fn discard(&mut self) {
        for mut pipe in [self.out.take(), self.err.take()].into_iter().flatten() {
            tokio::spawn(async move {
                let mut bytes = vec![0; CHUNK_BYTES];
                while matches!(pipe.read(&mut bytes).await, Ok(1..)) {}
            });
        }
    }

    pub(super) fn finish(self, end: End, took: Duration) -> Finished {
        let (spilled, spill_fault) = self.spill.close();
        let total = self.stdout.total();
        Finished {
            end,
            output: self.stdout.finish(),
            stderr: self.stderr.finish(),
            total,
            spilled,
            spill_fault,
            took,
        }
    }
}

impl<P: FnMut(&[u8])> Pump<P> {
    /// Waits for the next piece of output and stores it. Returns its length, or 0 at the end of one stream.
    /// Never ready once both streams have ended.
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

    /// Reads for this time.
    pub(super) async fn read_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while timeout_at(until, self.step()).await.is_ok() {}
    }

    /// Reads what is still in the pipes, until they end or no byte has come for the [`QUIET_PERIOD`]. Output
    /// beyond two full pipes was printed after the child's end (`yes &`) and is not waited for.
    pub(super) async fn drain(&mut self) {
        let limit = Instant::now() + DRAIN_TIMEOUT;
        let mut drained = 0;
        while (self.out.is_some() || self.err.is_some()) && drained <= 2 * CHUNK_BYTES {
            let quiet = limit.min(Instant::now() + QUIET_PERIOD);
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

/// The file for output that does not fit into memory. It is written by the task that reads the pipes, not by
/// another thread: a write goes to the page cache, and it is right that the child waits for it.
struct Spill {
    path: Option<PathBuf>,
    spills: Spills,
    file: Option<File>,
    written: u64,
    fault: Option<String>,
}

impl Spill {
    /// Takes the next bytes. `before` holds what came before them, complete until the first overflow.
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
                // A new file, so never through a link that was put there; private, as output may be.
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
