//! A set of full paths that knows what lies below a path.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    ops::Bound,
    path::{Path, PathBuf},
};

/// Full paths without `.`, `..` and doubled slashes. They are compared as they are written, which is many
/// times faster than part by part.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct PathSet(BTreeSet<OsString>);

impl PathSet {
    pub(crate) fn insert(&mut self, path: PathBuf) {
        self.0.insert(path.into_os_string());
    }

    pub(crate) fn contains(&self, path: &Path) -> bool {
        self.0.contains(path.as_os_str())
    }

    /// Whether one of the paths lies below this one.
    pub(crate) fn has_below(&self, path: &Path) -> bool {
        let mut folder = path.as_os_str().to_owned();
        folder.push("/");
        // What lies below begins with the folder and a slash, and comes right after just that.
        let after = (Bound::Included(folder.as_os_str()), Bound::Unbounded);
        let next = self.0.range::<OsStr, _>(after).next();
        next.is_some_and(|next| Path::new(next).starts_with(path))
    }

    /// In the order in which they are written.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(Path::new)
    }
}

impl Extend<PathBuf> for PathSet {
    fn extend<T: IntoIterator<Item = PathBuf>>(&mut self, paths: T) {
        self.0.extend(paths.into_iter().map(PathBuf::into_os_string));
    }
}

impl FromIterator<PathBuf> for PathSet {
    fn from_iter<T: IntoIterator<Item = PathBuf>>(paths: T) -> Self {
        let mut set = Self::default();
        set.extend(paths);
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_lies_below_its_folders_and_not_below_names_that_begin_alike() {
        let set: PathSet = ["/a/b-c", "/a/b/c/d", "/a/bc"].map(PathBuf::from).into_iter().collect();
        for above in ["/a", "/a/b", "/a/b/c"] {
            assert!(set.has_below(Path::new(above)), "{above}");
        }
        for other in ["/a/b/c/d", "/a/b-c", "/a/bc", "/b", "/a/b/d"] {
            assert!(!set.has_below(Path::new(other)), "{other}");
        }
    }
}
