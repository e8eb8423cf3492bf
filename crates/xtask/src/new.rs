//! `cargo xtask new`: a session of one's own, from one of the course.

use crate::check::COPY;
use crate::repo::{Repo, write};
use crate::{Failure, names};

pub(crate) const HELP: &str = "\
usage: cargo xtask new s40_mine --from s03_todo_write

Copies a session, with all files of its src/, under a name of your own and renames its package, its
identifiers and its prompt. The name is sNN_snake_case with a number that no session has; the numbers behind
the last session of the course stay free. The README of the copy says in its first line that it is one.";

pub(crate) fn run(repo: &Repo, args: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let (name, from) = match words.as_slice() {
        [name, "--from", from] | ["--from", from, name] => (*name, *from),
        _ => return Err(Failure::Usage(HELP.lines().next().unwrap_or_default().to_owned())),
    };
    if !names::is_session(name) {
        let reason =
            format!("{name:?} is no name for a session: two digits and snake_case, like s40_mine");
        return Err(Failure::Usage(reason));
    }
    let session = repo.session(from)?;
    let sessions = repo.sessions()?;
    if let Some(taken) = sessions.iter().find(|known| known.number() == names::number(name)) {
        let last = sessions.iter().filter_map(|known| known.number()).max().unwrap_or(0);
        let reason = format!(
            "{} is there already: take another number, s{:02} is free",
            taken.dir,
            last + 1
        );
        return Err(Failure::Failed(reason));
    }
    let dir = repo.root.join("sessions").join(name);
    if dir.exists() {
        return Err(Failure::Failed(format!("sessions/{name} exists already")));
    }
    let copied = copy(repo, &session.dir, from, name);
    if copied.is_err() {
        // Half a session would break the whole workspace.
        let _ = std::fs::remove_dir_all(&dir);
    }
    let count = copied?;
    say!(
        "sessions/{name}: {count} files, from {from}\n\
         run it:  cargo run --bin {name}\n\
         test it: cargo test -p {name}\n\
         then make its README yours and take the first line out: cargo xtask check asks for that"
    );
    Ok(())
}

fn copy(repo: &Repo, dir: &str, from: &str, name: &str) -> Result<usize, String> {
    let files = repo.files_below(dir)?;
    for path in &files {
        let inside = path.strip_prefix(dir).unwrap_or(path);
        let to = repo.root.join(format!("sessions/{name}{}", renamed(inside, from, name)));
        match std::fs::read_to_string(repo.root.join(path)) {
            Ok(text) if inside == "/README.md" => {
                let said =
                    format!("{COPY}{from}: make the lesson yours, then take this line out. -->\n");
                write(&to, &format!("{said}{}", renamed(&text, from, name)))?;
            }
            Ok(text) => write(&to, &renamed(&text, from, name))?,
            Err(_) => crate::repo::copy(&repo.root.join(path), &to)?,
        }
    }
    Ok(files.len())
}

/// The session's name, its prompt and its quoted short name.
fn renamed(text: &str, from: &str, to: &str) -> String {
    let old = &from[..3];
    let new = &to[..3];
    text.replace(from, to)
        .replace(&format!("{old} >>"), &format!("{new} >>"))
        .replace(&format!("\"{old}\""), &format!("\"{new}\""))
}

#[cfg(test)]
mod tests {
    use harness_testkit::Folder;

    use super::*;

    #[test]
    fn the_files_behind_the_lesson_come_along() {
        let folder = Folder::new();
        let repo = Repo { root: folder.path().to_owned() };
        let manifest = "[package]\nname = \"s03_todo_write\"\n[dependencies]\ns02_tool_use = { path = \"../s02_tool_use\" }\n";
        for (path, text) in [
            ("Cargo.toml", manifest),
            ("src/lib.rs", "mod list;\n"),
            ("src/list.rs", "// s03_todo_write\n"),
            ("src/list/deep.rs", ""),
            ("README.md", "# Plan\n"),
        ] {
            write(&repo.root.join("sessions/s03_todo_write").join(path), text).unwrap();
        }
        let args = ["s03_mine", "--from", "s03_todo_write"].map(str::to_owned);
        let Err(Failure::Failed(reason)) = run(&repo, &args) else { panic!("a number twice") };
        assert_eq!(
            reason,
            "sessions/s03_todo_write is there already: take another number, s04 is free"
        );

        let args = ["s24_mine", "--from", "s03_todo_write"].map(str::to_owned);
        assert!(run(&repo, &args).is_ok());
        let read = |path: &str| repo.read(&format!("sessions/s24_mine/{path}")).unwrap();
        assert_eq!(read("src/list.rs"), "// s24_mine\n");
        assert_eq!(read("src/list/deep.rs"), "");
        assert!(read("README.md").starts_with(COPY));
        let manifest = read("Cargo.toml");
        assert!(manifest.contains("name = \"s24_mine\"") && manifest.contains("../s02_tool_use"));
    }

    #[test]
    fn names_and_prompts_change_and_other_sessions_do_not() {
        let text =
            "use s03_todo_write::Plan; // s03 >> hi, \"s03\", s03_todo_write_x, s02_tool_use";
        let expected = "use s24_mine::Plan; // s24 >> hi, \"s24\", s24_mine_x, s02_tool_use";
        assert_eq!(renamed(text, "s03_todo_write", "s24_mine"), expected);
    }
}
