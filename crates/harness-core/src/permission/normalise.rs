//! The small questions of a ruling: the form that rules see, what is harmless, what an example says.

use std::path::Path;

use super::judge::Hit;
use super::line::read;
use super::paths::by_text;
use super::programs::{Programs, is_harmless_env};
use super::rules::Rules;
use super::source::{Rule, Source};
use harness_shell::Certainty;
use harness_shell::Layer;
use harness_shell::Reading;
use harness_shell::Redirect;

/// Does this line only look? What is not fully understood does not. For schedules that run readers
/// together; no rule is asked.
pub fn is_read_only(line: &str) -> bool {
    let programs = Programs::default();
    let reading = read(line);
    let looks = |layer: &Layer| {
        layer.assigns.iter().all(|(name, _)| is_harmless_env(name))
            && (layer.transparent || programs.only_looks(layer))
    };
    reading.doubts.is_empty()
        && reading.loops.is_empty()
        && !reading.commands.is_empty()
        && reading.commands.iter().flatten().all(looks)
        && reading
            .redirects
            .iter()
            .all(|redirect| harmless_redirect(redirect) || redirect.op == "<")
}

/// Does an example of a rule match it?
pub(super) fn example(rules: &Rules, source: &Source, at: usize, text: &str) -> bool {
    let Some(rule) = source.rules.get(at) else { return false };
    if rule.on_tool_alone() {
        return rule.is_for(text);
    }
    let cwd = Path::new("/workspace");
    let means = |text: &str| source.means(at, &by_text(cwd, cwd, text));
    if rule.on_path && !rule.on_command {
        return means(text);
    }
    let reading = read(text);
    let layers = || reading.commands.iter().flatten();
    let allows = |layer: &Layer| !rule.read_only || rules.known.programs.only_looks(layer);
    rule.fork_bomb && reading.fork_bomb
        || flow(rule, &reading).is_some()
        || rule.on_command
            && layers().any(|layer| {
                source.on_command(&normal(layer), false).contains(&at)
                    && allows(layer)
                    && (!rule.on_path || layer.words.iter().skip(1).any(|word| means(&word.text)))
            })
}

/// The flow from one command into another that a rule means, if the line has it.
pub(super) fn flow(rule: &Rule, reading: &Reading) -> Option<(String, String)> {
    let (source, sink) = rule.pipe.as_ref()?;
    let find = |regex: &regex::Regex| -> Vec<Option<String>> {
        let hit = |layers: &Vec<Layer>| layers.iter().map(normal).find(|text| regex.is_match(text));
        reading.commands.iter().map(hit).collect()
    };
    let sinks = find(sink);
    if sinks.iter().all(Option::is_none) {
        return None;
    }
    let sources = find(source);
    let end = |found: &[Option<String>], at: usize| found.get(at).cloned().flatten();
    reading.flows.iter().find_map(|&(from, into)| end(&sources, from).zip(end(&sinks, into)))
}

/// Discards or joins streams; touches no file.
pub(super) fn harmless_redirect(redirect: &Redirect) -> bool {
    let Redirect { op, target, .. } = redirect;
    let digits = !target.text.is_empty() && target.text.chars().all(|c| c.is_ascii_digit());
    match op.as_str() {
        ">&" | "<&" if target.sure == Certainty::Known => digits || target.text == "-",
        "<" => target.text == "/dev/null",
        "<<<" => true,
        _ => {
            target.sure == Certainty::Known
                && matches!(target.text.as_str(), "/dev/null" | "/dev/stdout" | "/dev/stderr")
        }
    }
}

/// A variable of the line's own, that no program looks at.
pub(super) fn is_plain_variable(name: &str) -> bool {
    name.chars().all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit())
        && !name.ends_with("_proxy")
}

/// The form that rules see: the program without its folder, words as they reach it, in quotes where
/// they would not be one word otherwise.
pub(super) fn normal(layer: &Layer) -> String {
    let mut text = String::new();
    for (at, word) in layer.words.iter().enumerate() {
        let shown = if at == 0 { layer.name() } else { word.text.as_str() };
        if at > 0 {
            text.push(' ');
        }
        let plain = |c: char| !c.is_whitespace() && !"'\"\\;&|<>()`".contains(c);
        if at == 0 {
            // Letter case hides nothing on disks that ignore it.
            let name = word.unset.as_deref().filter(|unset| !unset.is_empty());
            let name = name.map_or(shown, |unset| unset.rsplit('/').next().unwrap_or(unset));
            text.push_str(&name.to_lowercase());
        } else if !shown.is_empty() && shown.chars().all(plain) {
            text.push_str(shown);
        } else {
            text.push('\'');
            text.push_str(&shown.replace('\'', r"'\''"));
            text.push('\'');
        }
    }
    text
}

pub(super) fn stricter<'r>(one: Hit<'r>, other: Hit<'r>) -> Hit<'r> {
    match (one, other) {
        (Some(a), Some(b)) => Some(if b.tier > a.tier { b } else { a }),
        (one, other) => one.or(other),
    }
}

pub(super) fn strings<'v>(value: &'v serde_json::Value, found: &mut Vec<&'v str>) {
    match value {
        serde_json::Value::String(text) => found.push(text),
        serde_json::Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        serde_json::Value::Object(fields) => fields.values().for_each(|item| strings(item, found)),
        _ => {}
    }
}

pub(super) fn clip(text: &str) -> String {
    match text.char_indices().nth(160) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
