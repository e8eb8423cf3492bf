//! Git's index, as far as the gate needs it: which paths are repositories of their own. Git looks into
//! those when it is asked for the status or a diff, and starts what *their* configuration names.
//!
//! The form is git's `index-format`: a header, entries sorted by path, extensions, a checksum.

use std::path::{Path, PathBuf};

use super::repository::read;

/// The most bytes that are read: some hundred thousand files.
const LARGEST: u64 = 64 * 1024 * 1024;
/// The fixed part of an entry: times, mode, size, name of the object, flags.
const FIXED: usize = 62;
const MODE: usize = 24;
const FLAGS: usize = 60;
/// The mode of an entry that is a repository.
const REPOSITORY: u32 = 0o160_000;
/// The length of the checksum.
const CHECKSUM: usize = 20;

/// The paths in this index that are repositories. None: it is not understood.
pub(super) fn repositories(file: &Path) -> Option<Vec<PathBuf>> {
    if !file.exists() {
        return Some(Vec::new());
    }
    parse(&read(file, LARGEST)?)
}

fn parse(bytes: &[u8]) -> Option<Vec<PathBuf>> {
    let version = number(bytes, 4)?;
    if !bytes.starts_with(b"DIRC") || !(2..=4).contains(&version) {
        return None;
    }
    let (mut found, mut name, mut at) = (Vec::new(), Vec::new(), 12);
    for _ in 0..number(bytes, 8)? {
        let mode = number(bytes, at + MODE)?;
        let flags = number(bytes, at + FLAGS - 2)?; // the last two bytes of these four
        let more = if flags & 0x4000 != 0 && version > 2 { 2 } else { 0 };
        let mut start = at + FIXED + more;
        // In version 4 a path says how much of the path before it to drop, and what follows.
        let kept =
            if version == 4 { name.len().checked_sub(varint(bytes, &mut start)?)? } else { 0 };
        let rest = bytes.get(start..)?;
        let length = rest.iter().position(|byte| *byte == 0)?;
        name.truncate(kept);
        name.extend_from_slice(rest.get(..length)?);
        let end = start + length;
        at = if version == 4 { end + 1 } else { at + (end - at + 8) / 8 * 8 };
        if mode == REPOSITORY {
            found.push(PathBuf::from(std::str::from_utf8(&name).ok()?));
        }
    }
    while at + CHECKSUM < bytes.len() {
        // Most of a split index stands in another file.
        if bytes.get(at..at + 4)? == b"link" {
            return None;
        }
        at = at.checked_add(8)?.checked_add(number(bytes, at + 4)? as usize)?;
    }
    Some(found)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut value: usize = 0;
    loop {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value = value.checked_mul(128)?.checked_add(usize::from(byte & 127))?;
        if byte & 128 == 0 {
            return Some(value);
        }
        value += 1;
    }
}
