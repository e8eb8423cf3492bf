//! What a line at the prompt asks for.

use std::fmt;

use harness_core::host::text;

/// Other programs' commands that people type here, too.
const COMMON_SLASH_COMMANDS: [&str; 4] = ["help", "exit", "quit", "clear"];

/// What a line at the prompt asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Nothing: the line is blank.
    Blank,
    /// `q`, `exit` or `quit`, with or without a colon: to leave the program.
    Leave,
    /// `:help`: to list the commands.
    Help,
    /// `:name args`: one of the app's commands.
    Command {
        /// Its name, without the colon.
        name: &'a str,
        /// What follows the name, trimmed; may be empty.
        args: &'a str,
    },
    /// Everything else is for the model.
    Prompt(&'a str),
}

/// A line names a command that the app does not have. The text says what to type instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCommand(String);

impl fmt::Display for UnknownCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UnknownCommand {}

/// Reads a line for an app that has these commands.
pub(crate) fn parse<'a>(line: &'a str, commands: &[&str]) -> Result<Line<'a>, UnknownCommand> {
    let line = line.trim();
    match line {
        "" => return Ok(Line::Blank),
        "q" | "exit" | "quit" | ":q" | ":exit" | ":quit" => return Ok(Line::Leave),
        _ => {}
    }
    if let Some(command) = line.strip_prefix(':') {
        return parse_command(command, commands);
    }
    if is_slash_command(line, commands) {
        let hint = "commands begin with a colon here; :help lists them";
        return Err(UnknownCommand(format!("{line}: {hint}")));
    }
    Ok(Line::Prompt(line))
}

fn parse_command<'a>(command: &'a str, commands: &[&str]) -> Result<Line<'a>, UnknownCommand> {
    let (name, args) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    if name == "help" {
        return Ok(Line::Help);
    }
    if commands.contains(&name) {
        return Ok(Line::Command { name, args: args.trim() });
    }
    let names = commands.iter().copied().chain(["help"]);
    let hint = match text::nearest(name, names).first() {
        Some(nearest) => format!("did you mean :{nearest}? "),
        None => String::new(),
    };
    Err(UnknownCommand(format!("there is no command :{name}; {hint}:help lists them")))
}

/// Whether a line is a command as other programs have it. A path, or a prompt that begins with one, is not.
fn is_slash_command(line: &str, commands: &[&str]) -> bool {
    let first = line.split_whitespace().next().unwrap_or_default();
    let Some(name) = first.strip_prefix('/') else { return false };
    COMMON_SLASH_COMMANDS.contains(&name) || commands.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMANDS: [&str; 2] = ["undo", "tasks"];

    #[test]
    fn a_line_is_a_command_a_wish_to_leave_or_a_prompt() {
        let command = |name, args| Line::Command { name, args };
        for (line, wanted) in [
            ("  ", Line::Blank),
            (" q ", Line::Leave),
            (":quit", Line::Leave),
            (":help", Line::Help),
            (":undo", command("undo", "")),
            (":tasks  one  two ", command("tasks", "one  two")),
            ("what is :undo?", Line::Prompt("what is :undo?")),
            ("/usr is full", Line::Prompt("/usr is full")),
        ] {
            assert_eq!(parse(line, &COMMANDS), Ok(wanted), "{line}");
        }
    }

    #[test]
    fn an_unknown_command_names_the_nearest_and_a_slash_is_explained() {
        for (line, wanted) in [
            (":nope", "there is no command :nope; :help lists them"),
            (":und", "there is no command :und; did you mean :undo? :help lists them"),
            ("/help me", "/help me: commands begin with a colon here; :help lists them"),
            ("/undo", "/undo: commands begin with a colon here; :help lists them"),
        ] {
            let error = parse(line, &COMMANDS).unwrap_err();
            assert_eq!(error.to_string(), wanted, "{line}");
        }
    }
}
