//! Which forms of git only look.
//!
//! Half of git's subcommands list in one form and change in another, many options start programs,
//! and so does configuration (`-c core.pager=...`). Listed here is what is known to look.

use harness_shell::Word;

/// Options of git itself that change nothing.
const BEFORE: &[&str] = &["--no-pager", "-P", "--no-optional-locks", "--literal-pathspecs"];

/// They look, with any option that is not in [`ACTING`].
#[rustfmt::skip]
const LOOK: &[&str] = &["status", "log", "diff", "show", "blame", "annotate", "rev-parse", "describe", "ls-files", "ls-tree", "rev-list", "merge-base", "name-rev", "show-ref", "for-each-ref", "shortlog", "count-objects", "check-ignore", "diff-tree", "diff-index", "diff-files", "whatchanged", "cherry", "grep", "show-branch", "range-diff", "version"];

/// Options that write a file or start a program. Git takes any unique beginning of a long option,
/// so what is the beginning of one of these counts as it.
#[rustfmt::skip]
const ACTING: &[&str] = &["--output", "--output-directory", "--ext-diff", "--textconv", "--open-files-in-pager", "--upload-pack", "--receive-pack", "--exec", "--paginate", "--show-signature", "--help", "--interactive", "--filters", "--show-pgp", "--submodule"];

/// Options of `branch` and `tag` that only list; the second list makes free words patterns.
#[rustfmt::skip]
const LISTING: &[&str] = &["-a", "-r", "-v", "-vv", "-i", "-q", "--all", "--remotes", "--verbose", "--show-current", "--color", "--no-color", "--column", "--no-column", "--ignore-case", "--sort", "--format", "--abbrev", "--no-abbrev", "-av", "-avv", "-ra", "-rv"];
#[rustfmt::skip]
const SEARCHING: &[&str] = &["-l", "--list", "-n", "--contains", "--no-contains", "--merged", "--no-merged", "--points-at"];

/// Does `git` with these arguments only look?
pub(crate) fn only_looks(args: &[Word]) -> bool {
    let mut args: Vec<&str> = args.iter().map(|word| word.text.as_str()).collect();
    loop {
        match args.as_slice() {
            // Another folder's configuration starts programs as well as this one's.
            ["-C", folder, ..]
                if !folder.starts_with('/')
                    && !folder.starts_with('~')
                    && !folder.split('/').any(|part| part == "..") =>
            {
                args.drain(..2);
            }
            [option, ..] if BEFORE.contains(option) => {
                args.remove(0);
            }
            _ => break,
        }
    }
    let Some((subcommand, args)) = args.split_first() else { return false };
    if args.iter().any(|option| acts(subcommand, option)) {
        return false;
    }
    match *subcommand {
        "branch" | "tag" => lists(args),
        "remote" => matches!(args, [] | ["-v" | "--verbose"] | ["get-url", _]),
        "stash" => matches!(args, ["list" | "show", ..]),
        "reflog" => matches!(args, [] | ["show", ..]),
        "worktree" => matches!(args, ["list", ..]),
        "notes" => matches!(args, ["list" | "show", ..]),
        "submodule" => matches!(args, ["status"]),
        "cat-file" => matches!(args, ["-p" | "-t" | "-s" | "-e", _]),
        "symbolic-ref" => {
            matches!(args, [name] | ["--short" | "-q", name] if !name.starts_with('-'))
        }
        "config" => {
            let place = |arg: &&&str| {
                !matches!(
                    **arg,
                    "--local"
                        | "--global"
                        | "--system"
                        | "--show-origin"
                        | "--show-scope"
                        | "--name-only"
                        | "-z"
                )
            };
            let args: Vec<&str> = args.iter().filter(place).copied().collect();
            matches!(
                args.as_slice(),
                ["--get" | "--get-all" | "--get-regexp", _]
                    | ["get", _]
                    | ["--list" | "-l" | "list"]
            )
        }
        subcommand => LOOK.contains(&subcommand),
    }
}

fn acts(subcommand: &str, option: &str) -> bool {
    let name = option.split_once('=').map_or(option, |(name, _)| name);
    name.len() > 2 && name.starts_with("--") && ACTING.iter().any(|acting| acting.starts_with(name))
        || subcommand == "grep" && option.starts_with("-O")
        // A signature is checked by the program that the configuration names.
        || option.contains("%G")
        || option.contains("(signature")
}

fn lists(args: &[&str]) -> bool {
    let mut searching = false;
    let mut free = false;
    for arg in args {
        let name = arg.split_once('=').map_or(*arg, |(name, _)| name);
        let count = name.strip_prefix("-n").is_some_and(|n| n.chars().all(|c| c.is_ascii_digit()));
        if SEARCHING.contains(&name) || count {
            searching = true;
        } else if name.starts_with('-') {
            if !LISTING.contains(&name) {
                return false;
            }
        } else {
            free = true;
        }
    }
    searching || !free
}
