//! `cargo xtask new`: a session of one's own, from one of the course.

use crate::check::COPY;
use crate::repo::{Repo, write};
use crate::{Failure, names};

pub(crate) const HELP: &str = "\
usage: cargo xtask new s24_mine --from s03_todo_write

Copies a session under a name of your own (sNN_snake_case, 24 and above are free) and renames its
package, its identifiers and its prompt. The lesson's README says in its first line that it is a copy.";

pub(crate) fn run(repo: &Repo, args: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let (name, from) = match words.as_slice() {
        [name, "--from", from] | ["--from", from, name] => (*name, *from),
        _ => return Err(Failure::Usage(HELP.lines().next().unwrap_or_default().to_owned())),
    };
    if !names::is_session(name) {
        let reason =
            format!("{name:?} is no name for a session: two digits and snake_case, like s24_mine");
        return Err(Failure::Usage(reason));
    }
    let session = repo.session(from)?;
    let taken = repo.sessions()?.into_iter().find(|known| known.number() == names::number(name));
    if let Some(taken) = taken {
        return Err(Failure::Failed(format!(
            "{} is there already: take another number",
            taken.dir
        )));
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
        "sessions/{name}: {count} files, from {from}\nrun it:  cargo run --bin {name}\ntest it: cargo test -p {name}\nthen make its README yours and take the first line out: cargo xtask check asks for that"
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
    let (old, new) = (&from[..3], &to[..3]);
    text.replace(from, to)
        .replace(&format!("{old} >>"), &format!("{new} >>"))
        .replace(&format!("\"{old}\""), &format!("\"{new}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_prompts_change_and_other_sessions_do_not() {
        let text =
            "use s03_todo_write::Plan; // s03 >> hi, \"s03\", s03_todo_write_x, s02_tool_use";
        let expected = "use s24_mine::Plan; // s24 >> hi, \"s24\", s24_mine_x, s02_tool_use";
        assert_eq!(renamed(text, "s03_todo_write", "s24_mine"), expected);
    }
}
