//! Paths: resolved twice, by their text and by the links on the disk, and both are judged.

use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::host::own_paths;

/// Files through which somebody else's program would run, or these rules would be changed. They are never
/// written without a question, whatever a rule allows; neither is the harness's own state in a workspace, see
/// [`own_paths`].
const PROTECTED: &[&str] = &[
    ".git/**",
    ".gitconfig",
    ".config/git/**",
    ".gitmodules",
    ".husky/**",
    ".githooks/**",
    ".pre-commit-config.yaml",
    "lefthook.yml",
    ".vscode/**",
    ".idea/**",
    ".claude/**",
    ".bashrc",
    ".bash_profile",
    ".profile",
    ".zshrc",
    ".zshenv",
    ".zprofile",
    ".config/fish/**",
    ".config/systemd/**",
    ".config/autostart/**",
    "Library/LaunchAgents/**",
    "permissions.yaml",
    "permissions.yml",
    "mcp_config.yaml",
    "hooks.yaml",
    ".mcp.json",
    ".env",
    ".envrc",
    ".config/harness/**",
];

/// One path under the names that a rule may know it by: the absolute one and, inside the workspace,
/// the one that begins with `./`.
#[derive(Clone, Debug)]
pub(crate) struct ResolvedPath(Vec<String>);

impl ResolvedPath {
    /// Which globs match.
    pub(crate) fn matches(&self, globs: &GlobSet) -> Vec<usize> {
        self.0.iter().flat_map(|name| globs.matches(name)).collect()
    }

    /// Some glob matches.
    pub(crate) fn is_in(&self, globs: &GlobSet) -> bool {
        self.0.iter().any(|name| globs.is_match(name))
    }
}

/// Where a path leads by its text alone; the disk is not looked at. `~` and `$HOME` stay as `~`: the
/// core does not read the environment.
pub(crate) fn by_text(cwd: &Path, folder: &Path, text: &str) -> ResolvedPath {
    let home = |text: &str| {
        let rest = ["~", "$HOME"].iter().find_map(|home| text.strip_prefix(home))?;
        let path = lexical(Path::new(&format!("/{rest}")));
        let rest = path.to_string_lossy().into_owned();
        let plain = text.len() == 1
            || text == "$HOME"
            || text.starts_with("~/")
            || text.starts_with("$HOME/");
        plain.then(|| format!("~{}", if rest == "/" { "" } else { &rest }))
    };
    let joined = if home(text).is_some() { PathBuf::from(text) } else { folder.join(text) };
    match home(&joined.to_string_lossy()) {
        Some(name) => ResolvedPath(vec![name]),
        None => ResolvedPath(names(&lexical(cwd), &lexical(&cwd.join(joined)))),
    }
}

/// By its text and, where that differs, behind the links on the disk.
pub(crate) fn places(cwd: &Path, folder: &Path, text: &str) -> Vec<ResolvedPath> {
    let place = by_text(cwd, folder, text);
    let path = PathBuf::from(place.0.first().map_or("", String::as_str));
    let real = if path.is_absolute() { real(&path) } else { path.clone() };
    let mut places = vec![place];
    if real != path {
        let cwd = std::fs::canonicalize(cwd).unwrap_or_else(|_| lexical(cwd));
        places.push(ResolvedPath(names(&cwd, &real)));
    }
    places
}

fn names(cwd: &Path, path: &Path) -> Vec<String> {
    let mut names = vec![path.to_string_lossy().into_owned()];
    if let Ok(inside) = path.strip_prefix(cwd) {
        names.push(format!("./{}", inside.display()));
    }
    names
}

/// Takes `.` and `..` out by the text alone.
fn lexical(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean
}

/// Behind all links, as far as the path exists.
fn real(path: &Path) -> PathBuf {
    let mut rest = Vec::new();
    let mut at = path;
    // A path has few parts; one with very many is no path.
    for _ in 0..64 {
        if let Ok(found) = std::fs::canonicalize(at) {
            return rest.iter().rev().fold(found, |path, part| path.join(part));
        }
        let (Some(parent), Some(name)) = (at.parent(), at.file_name()) else { break };
        rest.push(name);
        at = parent;
    }
    path.to_path_buf()
}

/// Globs as rules write them: `/…` from the root, `~/…` from home, `./…` from the workspace, and
/// anything else in any folder. `x/**` means `x` too. Case does not matter: on some disks it does not.
pub(crate) fn globs<'a>(
    globs: impl IntoIterator<Item = &'a str>,
) -> Result<(GlobSet, Vec<usize>), globset::Error> {
    let (mut set, mut of) = (GlobSetBuilder::new(), Vec::new());
    for (at, glob) in globs.into_iter().enumerate() {
        let rooted = glob.starts_with(['/', '~']) || glob.starts_with("./");
        let place = if rooted { glob.to_owned() } else { format!("**/{glob}") };
        let stem = place.strip_suffix("/**").filter(|stem| !matches!(*stem, "." | ""));
        for glob in stem.into_iter().chain([place.as_str()]) {
            let mut glob = GlobBuilder::new(glob);
            set.add(glob.literal_separator(true).case_insensitive(true).build()?);
            of.push(at);
        }
    }
    Ok((set.build()?, of))
}

/// The paths that are never written without a question.
pub(crate) fn protected() -> Result<GlobSet, globset::Error> {
    let own = own_paths::protected_globs();
    let all = PROTECTED.iter().copied().chain(own.iter().map(String::as_str));
    Ok(globs(all)?.0)
}

/// What in a word of a command may be a path: the whole of it, what stands behind `=`, `:`, `@`
/// and `,`, and what is joined to a short option.
pub(crate) fn in_word(text: &str) -> Vec<&str> {
    let mut found = vec![text];
    for (at, _) in text.match_indices(['=', ':', '@', ',']).take(8) {
        found.push(&text[at + 1..]);
    }
    if text.starts_with('-') && !text.starts_with("--") {
        found.extend(text.char_indices().nth(2).map(|(at, _)| &text[at..]));
    }
    found.retain(|text| !text.is_empty());
    found
}

/// Could this word with wildcards become a file of that name? Only asked of the last part.
pub(crate) fn could_be(wild: &str, name: &str) -> bool {
    let last = wild.rsplit('/').next().unwrap_or(wild);
    let literal = last.chars().filter(|c| !"*?[]".contains(*c)).count();
    // `*` does not match hidden files, and a word that says next to nothing names nothing.
    if !(last.starts_with(['.', '[']) || literal >= 3) {
        return false;
    }
    let name = name.rsplit('/').next().unwrap_or(name);
    GlobBuilder::new(last).build().map_or(true, |glob| glob.compile_matcher().is_match(name))
}
