//! The gate's rules, held against what people and models really type.

use std::path::Path;

use harness_core::{Effect, Policy, Rules, ToolCall, Verdict};

const DANGEROUS: &str = include_str!("permission/dangerous.tsv");
const HARMLESS: &str = include_str!("permission/harmless.tsv");

fn rows(table: &str) -> Vec<(String, String)> {
    let rows = table.lines().filter(|row| !row.starts_with('#') && !row.is_empty());
    rows.map(|row| {
        let (verdict, line) = row.split_once('\t').unwrap();
        (verdict.to_owned(), written(line))
    })
    .collect()
}

/// The table's spelling of characters that would not survive in a text file.
fn written(line: &str) -> String {
    let mut line = line.replace('␤', "\n").replace('␍', "\r");
    while let Some(at) = line.find("\\u{") {
        let end = at + line[at..].find('}').unwrap();
        let code = u32::from_str_radix(&line[at + 3..end], 16).unwrap();
        line.replace_range(at..=end, &char::from_u32(code).unwrap().to_string());
    }
    if let Some((text, times)) = line.clone().rsplit_once(" × ") {
        let (start, piece) = text.rsplit_once(' ').unwrap_or(("", text));
        line = format!("{start} {}", format!("{piece} ").repeat(times.parse().unwrap()));
    }
    line
}

fn call(tool: &str) -> ToolCall {
    let json = serde_json::json!({"id": "call_1", "name": tool, "input": {}});
    serde_json::from_value(json).unwrap()
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Ask(_) => "ask",
        Verdict::Deny(_) => "deny",
    }
}

fn rule_on(policy: &dyn Policy, line: &str) -> &'static str {
    let cwd = Path::new("/home/me/project");
    word(&policy.rule_on(&call("bash"), &Effect::Runs(line.to_owned()), cwd))
}

fn wrong(table: &str) -> Vec<String> {
    let rules = Rules::built_in().unwrap();
    let deny_only = rules.deny_only();
    let mut wrong = Vec::new();
    for (wanted, line) in rows(table) {
        let shown: String = line.chars().take(80).collect();
        let whole = rule_on(&rules, &line);
        if whole != wanted {
            wrong.push(format!("{shown:?}: {whole}, not {wanted}"));
        }
        let alone = rule_on(&deny_only, &line);
        let expected = if wanted == "deny" { "deny" } else { "allow" };
        if alone != expected {
            wrong.push(format!("{shown:?}: {alone} under the deny tier alone, not {expected}"));
        }
    }
    wrong
}

#[test]
fn no_dangerous_line_runs_without_a_question() {
    assert!(rows(DANGEROUS).len() >= 180);
    let wrong = wrong(DANGEROUS);
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_harmless_line_is_stopped() {
    assert!(rows(HARMLESS).len() >= 120);
    let wrong = wrong(HARMLESS);
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}
