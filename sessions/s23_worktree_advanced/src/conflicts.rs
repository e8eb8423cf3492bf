//! What happens if two lines of work meet: tried in memory, before anybody merges anything.

use git2::{Index, IndexConflict, IndexEntry, MergeFileInput, MergeFileOptions, Oid, Repository};
use harness_core::host::text;
use s12_worktree_task_isolation::Made;

/// The most lines of a conflict that are shown.
const LINES: usize = 20;

/// A line of work: a name, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// As a branch is called.
    pub name: String,
    /// Its last commit.
    pub tip: Oid,
}

/// Merges two lines of work in memory: no branch, index or folder is touched. Returns what came of it and, if
/// they do not merge, why: a line for each file, and then the lines where they meet.
///
/// # Errors
/// Git cannot read them.
pub fn trial(repo: &Repository, ours: &Side, theirs: &Side) -> Made<(Index, Option<String>)> {
    let (our, their) = (repo.find_commit(ours.tip)?, repo.find_commit(theirs.tip)?);
    let index = repo.merge_commits(&our, &their, None)?;
    if !index.has_conflicts() {
        return Ok((index, None));
    }
    let mut files = format!("{} and {} do not merge:", ours.name, theirs.name);
    let mut lines = String::new();
    for found in index.conflicts()? {
        let found = found?;
        let sides = [&found.our, &found.their, &found.ancestor];
        let path = sides.iter().copied().flatten().next().map_or(&[][..], |entry| &entry.path);
        let path = text::visible(&String::from_utf8_lossy(path)).into_owned();
        files.push_str(&format!("\n  {path}: {}", how(&found, &ours.name, &theirs.name)));
        lines.push_str(&hunks(repo, &found, &ours.name, &theirs.name)?);
    }
    Ok((index, Some(files + &lines)))
}

/// What the two did to a file.
fn how(found: &IndexConflict, a: &str, b: &str) -> String {
    let IndexConflict { ancestor, our, their } = found;
    match (ancestor, our, their) {
        (_, Some(one), Some(other)) if [one.mode, other.mode].contains(&0o160_000) => {
            "a submodule, moved by both".to_owned()
        }
        (Some(_), Some(_), Some(_)) => "changed by both".to_owned(),
        (None, Some(_), Some(_)) => "added by both".to_owned(),
        (Some(_), Some(_), None) => format!("changed by {a}, deleted by {b}"),
        (Some(_), None, Some(_)) => format!("deleted by {a}, changed by {b}"),
        (Some(_), None, None) => "renamed by both, differently".to_owned(),
        (None, ..) => "one of its new names".to_owned(),
    }
}

/// The lines where two texts meet, between git's markers; nothing for what is no text.
fn hunks(repo: &Repository, found: &IndexConflict, a: &str, b: &str) -> Made<String> {
    let bytes = |entry: &Option<IndexEntry>| {
        let blob = entry.as_ref().and_then(|entry| repo.find_blob(entry.id).ok());
        blob.map(|blob| blob.content().to_vec())
    };
    let (Some(our), Some(their)) = (bytes(&found.our), bytes(&found.their)) else {
        return Ok(String::new());
    };
    if our.contains(&0) || their.contains(&0) {
        return Ok("\n(no text: one of the two has to give way)".to_owned());
    }
    let old = bytes(&found.ancestor).unwrap_or_default();
    let [mut before, mut one, mut other] = [(); 3].map(|()| MergeFileInput::new());
    let mut options = MergeFileOptions::new();
    let merged = git2::merge_file(
        before.content(&old),
        one.content(&our),
        other.content(&their),
        Some(options.our_label(a).their_label(b)),
    )?;
    let merged = String::from_utf8_lossy(merged.content()).into_owned();
    let mut inside = false;
    let met = merged.lines().filter(|line| {
        inside |= line.starts_with("<<<<<<< ");
        let shown = inside;
        inside &= !line.starts_with(">>>>>>> ");
        shown
    });
    Ok(met.take(LINES).map(|line| format!("\n{}", text::strip(line))).collect())
}

/// The files that a line of work changes, from where it began.
///
/// # Errors
/// Git cannot read it.
pub fn changed(repo: &Repository, began: &str, tip: Oid) -> Made<Vec<String>> {
    let (began, tip) =
        (repo.revparse_single(began)?.peel_to_tree()?, repo.find_commit(tip)?.tree()?);
    // Without a search for renames: a file under a new name is one that went and one that came.
    let diff = repo.diff_tree_to_tree(Some(&began), Some(&tip), None)?;
    let names = diff.deltas().filter_map(|delta| delta.new_file().path());
    Ok(names.map(|name| name.display().to_string()).collect())
}
