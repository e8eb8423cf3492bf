//! The gate's rules, held against what people and models really type.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::path::{Path, PathBuf};

use harness_core::permission::is_read_only;
use harness_core::{Effect, Policy, Question, Rules, ToolCall, Verdict};
use harness_testkit::Folder;

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

#[test]
fn a_harmless_neighbour_never_launders_a_dangerous_part() {
    let rules = Rules::built_in().unwrap();
    let deny_only = rules.deny_only();
    // Lines that are whole in themselves: no open quote, bracket or here-document, no remark.
    let open = ["<<", "unclosed", "#", "ls )", "ls $(rm -rf /"];
    let whole = |line: &str| !open.iter().any(|open| line.contains(open));
    let dangerous: Vec<_> = rows(DANGEROUS).into_iter().filter(|(_, line)| whole(line)).collect();
    let harmless = ["ls", "echo 'a b'", "git status", "cat x | wc -l", "cd src"];
    for (at, (wanted, line)) in dangerous.iter().enumerate() {
        let calm = harmless[at % harmless.len()];
        let mixed = [
            format!("{calm} ; {line}"),
            format!("{line} ; {calm}"),
            format!("{calm} && {line}"),
            format!("{line} || {calm}"),
            format!("{calm} | {line}"),
            format!("{line} | {calm}"),
            format!("{calm} & {line}"),
            format!("{calm}\n{line}"),
            format!("{line}\n{calm}"),
            format!("echo $({line})"),
            format!("echo \"$({line}\n)\""),
            format!("({line})"),
            format!("{{ {line}\n}}"),
            format!("if {calm}; then {line}\nfi"),
            format!("for f in a; do {line}\ndone"),
        ];
        for mixed in mixed {
            let found = rule_on(&rules, &mixed);
            assert_ne!(found, "allow", "{mixed:?}");
            if wanted == "deny" && !line.contains(['`', '\'', '"']) {
                assert_eq!(found, "deny", "{mixed:?}");
                assert_eq!(rule_on(&deny_only, &mixed), "deny", "{mixed:?}");
            }
        }
    }
}

#[test]
fn no_input_panics_or_hangs() {
    let rules = Rules::built_in().unwrap();
    let bracket = |piece: &str, times: usize| piece.repeat(times);
    let nested = [
        bracket("(", 50_000),
        bracket("$(", 50_000),
        bracket("${", 50_000),
        bracket("$((", 30_000),
        bracket("{", 50_000),
        bracket("`", 50_000),
        bracket("'", 50_001),
        bracket("\"", 50_001),
        bracket("\\", 50_001),
        bracket("a|", 50_000),
        bracket("nice ", 20_000),
        bracket("if ", 30_000),
        bracket("<<E ", 20_000),
        bracket("{a,b}", 20_000),
        bracket("x=$x$x;", 15_000),
        bracket("sh -c '", 15_000),
        bracket("eval ", 20_000),
        bracket("$x ", 30_000),
        bracket("[[ ", 30_000),
        bracket("case x in ", 10_000),
        bracket("> a ", 30_000),
        bracket("echo x|sh|", 10_000),
        bracket("f(){ ", 20_000),
        bracket("!", 90_000),
        bracket("xargs|", 20_000),
        bracket("\u{0}", 90_000),
        bracket("a=b ", 30_000),
        bracket("\"$(", 30_000),
        bracket("find -exec ", 10_000),
        bracket("*", 90_000),
    ];
    for line in nested {
        let found = rule_on(&rules, &line);
        assert_ne!(found, "allow", "{}…", line.chars().take(20).collect::<String>());
    }
    assert_eq!(rule_on(&rules, &"a".repeat(200_000)), "deny");
    assert_eq!(rule_on(&rules.deny_only(), &"a".repeat(200_000)), "deny");
}

#[test]
fn any_text_is_judged() {
    let rules = Rules::built_in().unwrap();
    let config = proptest::test_runner::Config { failure_persistence: None, ..Default::default() };
    let text = "\\PC*|[ -~\n\t]*|[$`'\"(){}<>|&;#\\\\ a-c\n]*";
    let judge = |line: String| {
        rule_on(&rules, &line);
        is_read_only(&line);
        Ok(())
    };
    proptest::test_runner::TestRunner::new(config).run(&text, judge).unwrap();
}

#[test]
fn read_only_lines_are_known_without_rules() {
    for line in
        ["ls", "git log -p | head", "grep -rn x . 2>/dev/null", "cat < x", "sort x | uniq -c"]
    {
        assert!(is_read_only(line), "{line}");
    }
    for line in [
        "",
        "ls > x",
        "git branch x",
        "cargo test",
        "echo $(rm x)",
        "find . -delete",
        "x=1",
        "ls 'a",
    ] {
        assert!(!is_read_only(line), "{line}");
    }
}

// What the original did wrong, each by its name.

#[test]
fn seed_defect_harmless_lines_stopped_by_a_substring() {
    let rules = Rules::built_in().unwrap();
    for line in ["ls 2> /dev/null", "echo sudoku", "cat src/halt.py", "grep sudo README.md"] {
        assert_eq!(rule_on(&rules, line), "allow", "{line}");
    }
    assert_ne!(rule_on(&rules, "rm -rf /tmp/x"), "deny");
}

#[test]
fn seed_defect_denied_only_in_one_spelling() {
    let deny_only = Rules::built_in().unwrap().deny_only();
    for line in ["rm -fr /", "curl x|bash", "rm  -rf  /", "sudo\tls"] {
        assert_eq!(rule_on(&deny_only, line), "deny", "{line}");
    }
}

#[test]
fn seed_defect_allowed_by_policy_because_of_the_first_word() {
    let rules = Rules::built_in().unwrap();
    for line in [
        "cat x; rm -rf ~",
        "echo hi && git push --force",
        "find . -delete",
        "find / -exec rm {} +",
        "git branch -D main",
        "echo x > ~/.bashrc",
        "cat .env",
        " rm x",
        "cd x; rm y",
        "python -c 'x'",
        "git -C . push",
    ] {
        assert_ne!(rule_on(&rules, line), "allow", "{line}");
    }
}

#[test]
fn seed_defect_only_the_first_value_of_the_input_was_judged() {
    let rules = Rules::built_in().unwrap();
    let input = serde_json::json!({"description": "ls", "command": "rm victim"});
    let json = serde_json::json!({"id": "call_1", "name": "bash", "input": input});
    let call: ToolCall = serde_json::from_value(json).unwrap();
    let verdict = rules.rule_on(&call, &Effect::Runs("rm victim".to_owned()), Path::new("/w"));
    assert_eq!(word(&verdict), "ask");
}

#[test]
fn seed_defect_a_policy_that_is_missing_or_broken_allowed_everything() {
    let broken = [
        ("", "p.yaml:1:1: the file is empty"),
        ("# nothing\n", "p.yaml:1:1:"),
        ("default: ask\n", "has no rules"),
        ("default: allow\nalways_deny: [{pattern: x, reason: y}]", "p.yaml:1:10:"),
        ("always_denny:\n- {pattern: x, reason: y}", "unknown field `always_denny`"),
        ("always_deny:\n- {pattern: x, reason: y, why: z}", "unknown field `why`"),
        ("always_deny:\n- {pattern: x}", "missing field `reason`"),
        ("always_deny:\n- {reason: x}", "p.yaml:2:1: the rule matches nothing"),
        (
            "always_deny:\n- {pattern: ok, reason: y}\n- {pattern: '(', reason: y}",
            "p.yaml:3:1: the pattern `(` is no regex: unclosed group",
        ),
        ("always_deny:\n- {path: '[', reason: y}", "p.yaml:2:1: the path is no glob"),
        ("always_deny:\n\t- {pattern: x, reason: y}", "p.yaml:2:1:"),
        ("always_deny:\n- {pattern: x, pattern: z, reason: y}", "duplicate field `pattern`"),
        (
            "always_deny:\n- {pattern: ls, reason: y, match: [cat]}",
            "p.yaml:2:1: the rule does not match its example `cat`",
        ),
        (
            "always_deny:\n- {pattern: ls, reason: y, not_match: [ls -l]}",
            "the rule matches its example `ls -l`",
        ),
        ("always_deny:\n- {pattern: ls, reason: y, read_only: true}", "read_only goes with"),
        ("always_deny: 3", "p.yaml:1:"),
        ("- a\n- b", "p.yaml:1:1:"),
    ];
    for (yaml, told) in broken {
        let error = Rules::parse(yaml, "p.yaml").err().map(|e| e.to_string()).unwrap_or_default();
        assert!(!error.contains("(?s)"), "{error}");
        assert!(error.contains(told), "{yaml:?}: {error:?} does not say {told:?}");
    }
}

#[test]
fn the_strictest_rule_wins_whatever_the_order_and_the_file() {
    let allow = "always_allow: [{pattern: make, reason: a}]";
    let ask = "ask_user: [{pattern: make install, reason: b}]";
    let deny = "always_deny: [{pattern: make clean, reason: c}]";
    let parse = |yaml: &str| Rules::parse(yaml, "p.yaml").unwrap();
    for rules in [
        parse(&[allow, ask, deny].join("\n")),
        parse(&[deny, ask, allow].join("\n")),
        parse(allow).and(parse(ask)).and(parse(deny)),
        parse(deny).and(parse(allow)).and(parse(ask)),
    ] {
        assert_eq!(rule_on(&rules, "make"), "allow");
        assert_eq!(rule_on(&rules, "make install"), "ask");
        assert_eq!(rule_on(&rules, "make clean"), "deny");
        assert_eq!(rule_on(&rules, "makefile"), "ask", "a pattern ends where a word ends");
        assert_eq!(rule_on(&rules, "sudo make"), "deny", "the compiled-in tier is always in force");
        assert_eq!(rule_on(&rules, "make && ls"), "ask", "nothing matched");
        assert_eq!(rule_on(&rules, "./make"), "ask", "another program of that name");
        assert_eq!(rule_on(&rules, "make $X"), "ask", "what is not known is not allowed");
    }
    let denies = parse("default: deny\nalways_allow: [{pattern: make, reason: a}]");
    assert_eq!(rule_on(&denies, "ls"), "deny");
    assert_eq!(rule_on(&denies.clone().and(parse(allow)), "ls"), "deny");
}

#[test]
fn an_allow_rule_of_the_user_is_no_way_to_hooks_rules_or_state() {
    let rules = "always_allow: [{pattern: 'tee|cp|make', reason: a}, {path: ./**, access: write, reason: edits}]";
    let rules = Rules::parse(rules, "p.yaml").unwrap();
    let cwd = tempfile::tempdir().unwrap();
    let on = |tool: &str, effect: Effect| word(&rules.rule_on(&call(tool), &effect, cwd.path()));
    let writes = |path: &str| on("write", Effect::Writes(vec![path.into()]));
    assert_eq!(writes("src/x.rs"), "allow");
    assert_eq!(writes(".worktrees/task-1/x.rs"), "allow", "there agents work");
    for path in [
        ".git/hooks/pre-commit",
        "sub/.git/config",
        ".GIT/hooks/x",
        ".git",
        "src/../.git/config",
        ".env",
        "config/permissions.yaml",
        ".agent_tasks.json",
        ".agent_of_another_version",
        ".harness/x",
        ".worktrees/task-1/.harness/x",
        ".sessions/a.jsonl",
        ".mailboxes/x",
        "/etc/x",
        "../x",
        "~/.config/harness/x",
        ".gitconfig",
    ] {
        assert_eq!(writes(path), "ask", "{path}");
    }
    for line in [
        "tee .git/hooks/x",
        "cp x .agent_tasks.json",
        "make > .git/config",
        "make > ../x",
        "make > $X",
    ] {
        assert_eq!(on("bash", Effect::Runs(line.to_owned())), "ask", "{line}");
    }
    assert_eq!(on("bash", Effect::Runs("make > out.txt".to_owned())), "allow");
    for line in [
        "cd /etc && make > passwd",
        "cd .. ; make > x",
        "make > ~bob/x",
        "cd .git/hooks && make > x",
    ] {
        assert_ne!(on("bash", Effect::Runs(line.to_owned())), "allow", "{line}");
    }
    // A link inside that leads outside, and one that leads to a protected file.
    std::os::unix::fs::symlink("/etc", cwd.path().join("out")).unwrap();
    std::fs::create_dir_all(cwd.path().join(".git/hooks")).unwrap();
    std::os::unix::fs::symlink(cwd.path().join(".git/hooks"), cwd.path().join("tools")).unwrap();
    assert_eq!(writes("out/x"), "ask");
    assert_eq!(writes("tools/pre-commit"), "ask");
    assert_eq!(on("bash", Effect::Runs("cp x tools/pre-commit".to_owned())), "ask");
}

#[test]
fn file_tools_and_others_are_judged_by_what_they_do() {
    let rules = Rules::built_in().unwrap();
    let cwd = tempfile::tempdir().unwrap();
    let on = |tool: &str, effect: Effect| word(&rules.rule_on(&call(tool), &effect, cwd.path()));
    let reads = |path: &str| on("read", Effect::Reads(vec![path.into()]));
    assert_eq!(reads("src/main.rs"), "allow");
    assert_eq!(reads(cwd.path().join("a").to_str().unwrap()), "allow");
    for path in [".env", "sub/.env.local", "/etc/passwd", "../x", "server.pem", ".ssh/id_rsa"] {
        assert_eq!(reads(path), "ask", "{path}");
    }
    std::fs::write(cwd.path().join(".env"), "KEY=1").unwrap();
    std::os::unix::fs::symlink(".env", cwd.path().join("notes.txt")).unwrap();
    assert_eq!(reads("notes.txt"), "ask", "behind the link");
    std::os::unix::fs::symlink(".env", cwd.path().join(".env.example")).unwrap();
    assert_eq!(
        reads(".env.example"),
        "ask",
        "an exception is of the name, not of what it leads to"
    );
    assert_eq!(on("write", Effect::Writes(vec!["a.txt".into()])), "ask");
    assert_eq!(on("write", Effect::Writes(vec!["/dev/sda".into()])), "deny");
    assert_eq!(on("todo_write", Effect::Internal), "allow");
    assert_eq!(on("mcp__x__read", Effect::Unknown), "ask");
    assert_eq!(on("read", Effect::Unknown), "ask", "a name gives no rights");
    assert_eq!(
        on("bash_background", Effect::Runs("sudo ls".to_owned())),
        "deny",
        "s08 of the original skipped the list"
    );
}

#[test]
fn rules_on_tools_see_the_whole_input() {
    let rules = "always_deny: [{tool: mcp__x__drop, reason: a}]\nalways_allow: [{tool: mcp__x__*, reason: b}]\nask_user: [{path: .env, reason: c}]";
    let rules = Rules::parse(rules, "p.yaml").unwrap();
    let on = |tool: &str, input: serde_json::Value| {
        let json = serde_json::json!({"id": "call_1", "name": tool, "input": input});
        let call: ToolCall = serde_json::from_value(json).unwrap();
        word(&rules.rule_on(&call, &Effect::Unknown, Path::new("/w")))
    };
    assert_eq!(on("mcp__x__get", serde_json::json!({})), "allow");
    assert_eq!(on("mcp__x__drop", serde_json::json!({})), "deny");
    assert_eq!(on("mcp__y__get", serde_json::json!({})), "ask");
    assert_eq!(on("mcp__x__get", serde_json::json!({"a": 1, "b": {"c": ["x", "/w/.env"]}})), "ask");
}

#[test]
fn a_ruling_names_each_part_and_the_rule_behind_it() {
    let rules = Rules::built_in().unwrap();
    let ruling = rules.explain_line("git status && rm -rf build > log", Path::new("/w"));
    let shown: Vec<_> =
        ruling.parts.iter().map(|part| (part.text.as_str(), word(&part.verdict))).collect();
    assert_eq!(shown, [("git status", "allow"), ("rm -rf build", "ask"), (">log", "ask")]);
    let rule = ruling.parts[1].rule.as_ref().unwrap();
    let yaml = include_str!("../../../config/permissions.yaml");
    assert_eq!(rule.file, "config/permissions.yaml");
    assert_eq!(yaml.lines().nth(rule.line - 1).unwrap().trim(), "- pattern: rm|rmdir|unlink|shred");
    assert_eq!(rule.reason, "deletes files");
}

mod answers {
    use std::sync::Mutex;

    use harness_core::permission::Remember;
    use harness_core::{Agent, Approval, Approver, Play, Script, ToolContext};
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// Answers always the same, and counts.
    struct Says(Approval, std::sync::Arc<Mutex<u32>>);

    #[async_trait::async_trait]
    impl Approver for Says {
        async fn approve(&self, _: &Question<'_>, _: &ToolContext) -> Approval {
            *self.1.lock().unwrap() += 1;
            self.0.clone()
        }
    }

    fn asked(tool: &str, input: serde_json::Value) -> ToolCall {
        let json = serde_json::json!({"id": "call_1", "name": tool, "input": input});
        serde_json::from_value(json).unwrap()
    }

    fn bash(line: &str) -> ToolCall {
        asked("bash", serde_json::json!({"command": line}))
    }

    /// How often the person is asked when these calls come one after the other.
    async fn questions(answer: Approval, file: &Path, calls: &[ToolCall]) -> u32 {
        let count = std::sync::Arc::default();
        let remember = Remember::open(Says(answer, std::sync::Arc::clone(&count)), file).unwrap();
        let nothing = Play::from_yaml("prompt: nothing\nscenes: []").unwrap();
        let agent = Agent::new(std::sync::Arc::new(Script::new(nothing)), "/w");
        let cx = agent.context("call_1", &CancellationToken::new());
        for call in calls {
            remember.approve(&Question { call, why: "why", change: None }, &cx).await;
        }
        *count.lock().unwrap()
    }

    #[tokio::test]
    async fn answers_hold_once_for_the_session_or_always() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine/allowed.yaml");
        let twice = [bash("cargo test"), bash("cargo test")];
        assert_eq!(questions(Approval::Once, &file, &twice).await, 2);
        assert_eq!(questions(Approval::No("x".to_owned()), &file, &twice).await, 2);
        assert_eq!(questions(Approval::Session, &file, &twice).await, 1);
        assert!(!file.exists(), "a session leaves nothing behind");
        assert_eq!(questions(Approval::Always, &file, &twice).await, 1);
        assert_eq!(questions(Approval::Once, &file, &twice).await, 0, "read from the file");
        let others = [
            bash("cargo test --all"),
            bash("cargo"),
            asked("mcp__x", serde_json::json!({"command": "cargo test"})),
        ];
        assert_eq!(questions(Approval::Once, &file, &others).await, 3, "the narrowest rule");
        let write = |path: &str, content: &str| {
            asked("write", serde_json::json!({"path": path, "content": content}))
        };
        assert_eq!(
            questions(
                Approval::Always,
                &file,
                &[write("a", "1"), write("a", "2"), write("b", "1")]
            )
            .await,
            2
        );
        assert_eq!(
            questions(Approval::Once, &file, &[bash("cargo test"), write("a", "3")]).await,
            0
        );
    }

    #[tokio::test]
    async fn what_must_be_asked_each_time_is_never_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("allowed.yaml");
        let lines = [
            "cargo build && cargo test",
            "cargo test; rm x",
            "echo $(x)",
            "rm $X",
            "sh -c 'a; b'",
            "x | y",
            "git config core.pager x",
            "git -c core.pager=x log",
            "tee .git/hooks/x",
            "make > .git/config",
            "cp x .agent_tasks.json",
            "vi config/permissions.yaml",
            "cat .env",
            "for f in a; do x $f; done",
            "ls 'x",
        ];
        for line in lines {
            assert_eq!(
                questions(Approval::Always, &file, &[bash(line), bash(line)]).await,
                2,
                "{line}"
            );
        }
        for path in [".git/hooks/x", "config/permissions.yaml", ".sessions/x", "/w/.git/config"] {
            let call = asked("write", serde_json::json!({"path": path, "content": "x"}));
            assert_eq!(
                questions(Approval::Always, &file, &[call.clone(), call]).await,
                2,
                "{path}"
            );
        }
        assert!(!file.exists());
    }

    #[tokio::test]
    async fn a_damaged_file_is_refused_by_name_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("allowed.yaml");
        std::fs::write(&file, "always:\n- {tool: bash, folder: /w, comand: ls}\n").unwrap();
        let count = std::sync::Arc::default();
        let error = Remember::open(Says(Approval::Once, count), &file).err().unwrap().to_string();
        assert!(error.contains("allowed.yaml:"), "{error}");
        assert!(std::fs::read_to_string(&file).unwrap().contains("comand"));
    }
}

mod shell {
    //! The line reader, held against bash itself.

    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::{Command, Stdio};

    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    use super::*;

    const PIECES: &[&str] = &[
        "aa",
        "aa",
        "aa",
        "aa x",
        "aa ",
        "bb",
        "bb",
        "bb ",
        " ",
        " ",
        " ",
        " ",
        ";",
        "|",
        "&&",
        "||",
        "&",
        "\n",
        "'",
        "\"",
        "\\",
        "$",
        "`",
        "(",
        ")",
        "{",
        "}",
        "{ ",
        "; }",
        "#",
        " #",
        "<",
        ">",
        ">/dev/null",
        " 2>&1",
        "<<E\n",
        "<<'E'\n",
        "\nE\n",
        "E",
        "$(",
        "${",
        "${x:-",
        "x=",
        "=",
        "! ",
        "[",
        "]",
        "[[ ",
        " ]]",
        "if ",
        "then ",
        "; then ",
        "; fi",
        "for x in ",
        "; do ",
        "; done",
        "while ",
        "case x in ",
        "x) ",
        ";;",
        "esac",
        "$'",
        "\\n",
        "\\'",
        "*",
        "~",
        ",",
        "\t",
        "\r",
        "-",
        "0",
        "function ",
        "f() ",
        "()",
        "<(",
        "<<<",
        "&>",
        ">&",
        ":",
        "é",
        "$((",
        "))",
        "$x",
        "\\\n",
        "time ",
        "coproc ",
        "select ",
        "''",
        "\"\"",
        "\\ ",
        "\\;",
        "\\#",
        "$\"",
        "{a,b}",
        "|&",
        ">|",
        "1",
        "sh -c ",
        "eval ",
        "env ",
        "xargs ",
        "timeout 1 ",
        "exec ",
        "$@",
        "\u{a0}",
        "\u{b}",
        "\u{c}",
        "#{",
        "%",
        "^",
        "@(",
        "!(",
        "2",
        "<>",
        "<&",
        ">&-",
        "<&-",
        "&>>",
        ">>",
        "$[",
        "+=",
        "x+=",
        "a[0]=",
        "until ",
        "else ",
        "elif ",
        "do ",
        "done",
        "fi",
        "in ",
        "}\n",
        "<<-E\n",
        "\tE\n",
    ];

    /// What the rules allow runs nothing but what they allow: `aa` is allowed, `bb` is not, and bash
    /// is asked whether `bb` ran or a file appeared. `FUZZ=100000` makes it thorough.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test needs the real shell")]
    fn what_is_allowed_runs_nothing_else() {
        let rules = "always_allow: [{pattern: aa, reason: test}]";
        let rules = Rules::parse(rules, "test.yaml").unwrap();
        let bin = tempfile::tempdir().unwrap();
        let cwd = tempfile::tempdir().unwrap();
        symlink("/bin/true", bin.path().join("aa")).unwrap();
        for tool in ["sh", "env", "xargs", "timeout", "cat"] {
            let place = ["/bin/", "/usr/bin/"].map(|folder| format!("{folder}{tool}"));
            let place = place.iter().find(|place| Path::new(place).exists()).unwrap();
            symlink(place, bin.path().join(tool)).unwrap();
        }
        let bb = bin.path().join("bb");
        std::fs::write(&bb, "#!/bin/sh\n: > \"$0.ran\"\n").unwrap();
        std::fs::set_permissions(&bb, std::fs::Permissions::from_mode(0o755)).unwrap();
        let ran = bin.path().join("bb.ran");

        let cases = std::env::var("FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(3_000);
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        let piece = prop::sample::select(PIECES);
        let lines = (any::<bool>(), prop::collection::vec(piece, 1..10));
        let lines = lines.prop_map(|(first, pieces)| {
            let start = if first { "aa " } else { "" };
            format!("{start}{}", pieces.concat())
        });
        let allowed = std::cell::Cell::new(0u32);
        let run = |line: String| {
            let verdict = rules.rule_on(&call("bash"), &Effect::Runs(line.clone()), cwd.path());
            if verdict != Verdict::Allow {
                return Ok(());
            }
            allowed.set(allowed.get() + 1);
            Command::new("/usr/bin/timeout")
                .args(["-k", "1", "1", "/bin/bash", "-c", &line])
                .env_clear()
                .env("PATH", bin.path())
                .current_dir(&cwd)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            let made = std::fs::read_dir(&cwd).unwrap().count();
            let bad = ran.exists() || made > 0;
            let _ = std::fs::remove_file(&ran);
            for file in std::fs::read_dir(&cwd).unwrap() {
                let _ = std::fs::remove_file(file.unwrap().path());
            }
            prop_assert!(!bad, "{line:?} was allowed, and more than `aa` happened");
            Ok(())
        };
        TestRunner::new(config).run(&lines, run).unwrap();
        assert!(allowed.get() > cases / 100, "only {} lines were allowed", allowed.get());
    }
}

#[test]
fn every_example_of_the_built_in_rules_holds() {
    // `built_in` leaves them out, to be quick; `parse` tries them all.
    Rules::parse(Rules::BUILT_IN, "config/permissions.yaml").unwrap();
}

#[test]
fn git_that_only_looks_asks_where_the_repository_names_programs() {
    let rules = Rules::built_in().unwrap();
    let on = |cwd: &Path, line: &str| {
        word(&rules.rule_on(&call("bash"), &Effect::Runs(line.to_owned()), cwd))
    };
    let config = |repo: &Folder, key: &str, value: &str| {
        repo.git(&["config", key, value]);
    };
    for (key, value) in [
        ("core.fsmonitor", "./watch.sh"),
        ("diff.external", "./diff.sh"),
        ("diff.x.textconv", "./text.sh"),
        ("diff.x.command", "./diff.sh"),
        ("filter.x.clean", "./clean.sh"),
        ("filter.x.process", "./clean.sh"),
        ("gpg.program", "./gpg.sh"),
        ("log.showSignature", "true"),
        ("pretty.mine", "%h %G?"),
        ("include.path", "../more"),
        ("core.sshCommand", "./ssh.sh"),
        ("remote.origin.url", "ext::sh -c x"),
        ("remote.origin.uploadpack", "./pack.sh"),
        ("remote.origin.promisor", "true"),
        ("extensions.partialClone", "origin"),
        ("diff.submodule", "diff"),
        ("core.worktree", "../../elsewhere"),
        ("core.hooksPath", "a\"b\\c"),
    ] {
        let repo = Folder::git_repo();
        config(&repo, key, value);
        repo.write("sub/x", "");
        for (folder, line) in [("", "git status"), ("sub", "git log -p"), ("", "git -C sub diff")] {
            assert_eq!(on(&repo.path().join(folder), line), "ask", "{key}: {line}");
        }
        let outside = repo.path().parent().unwrap();
        let name = repo.path().file_name().unwrap().to_str().unwrap();
        assert_eq!(on(outside, &format!("cd {name} && git diff")), "ask", "{key}");
    }
    // What everybody's repository has is no reason to ask.
    let repo = Folder::git_repo();
    config(&repo, "core.fsmonitor", "true");
    config(&repo, "core.hooksPath", ".husky");
    config(&repo, "remote.origin.url", "git@example.invalid:process.git");
    config(&repo, "branch.main.remote", "origin");
    config(&repo, "user.name", "External Process");
    for line in ["git status", "git log -p", "git diff", "git branch"] {
        assert_eq!(on(repo.path(), line), "allow", "{line}");
    }
    repo.write(".husky/post-index-change", "#!/bin/sh\n");
    assert_eq!(on(repo.path(), "git status"), "ask", "a hook that looking starts");
    // On the line of its section; in a worktree; in a submodule; what cannot be read.
    let repo = Folder::git_repo();
    let name = format!("{}-tree", repo.path().file_name().unwrap().display());
    let tree = repo.path().with_file_name(name);
    repo.git(&["worktree", "add", "-q", "-b", "other", tree.to_str().unwrap()]);
    assert_eq!(on(&tree, "git status"), "allow");
    let file = repo.path().join(".git/config");
    let old = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{old}[CORE]FSMonitor=./watch.sh\n")).unwrap();
    assert_eq!(on(repo.path(), "git status"), "ask");
    assert_eq!(on(&tree, "git status"), "ask");
    std::fs::remove_dir_all(&tree).unwrap();
    std::fs::write(&file, &old).unwrap();
    assert_eq!(on(repo.path(), "git status"), "allow");
    std::fs::write(&file, "#".repeat(300_000)).unwrap();
    assert_eq!(on(repo.path(), "git log"), "ask");
}

/// A repository in this folder of another, known to it as a submodule is.
fn inner(outer: &Folder, path: &str) -> PathBuf {
    outer.write(&format!("{path}/text"), "one\n");
    outer.write(&format!("{path}/.gitattributes"), "text filter=x\n");
    for arguments in [vec!["init", "-q"], vec!["add", "-A"], vec!["commit", "-qm", "one"]] {
        outer.git(&[&["-C", path], arguments.as_slice()].concat());
    }
    outer.git(&["-c", "advice.addEmbeddedRepo=false", "add", path]);
    outer.path().join(path)
}

#[test]
fn git_that_looks_into_the_repositories_of_a_repository_asks_for_theirs_too() {
    let rules = Rules::built_in().unwrap();
    let on = |cwd: &Path| {
        word(&rules.rule_on(&call("bash"), &Effect::Runs("git status".to_owned()), cwd))
    };
    for version in ["2", "3", "4"] {
        let outer = Folder::git_repo();
        outer.git(&["config", "index.version", version]);
        for name in ["a", "a/longer/name", "group/of/names", "z"] {
            outer.write(&format!("{name}/file"), name);
        }
        let place = inner(&outer, "group/sub");
        outer.git(&["add", "-A"]);
        outer.git(&["update-index", "--index-version", version]);
        if version == "3" {
            outer.write("later", "");
            outer.git(&["add", "-N", "later"]); // what only version 3 can say
        }
        assert_eq!(on(outer.path()), "allow", "{version}");
        // It is as real as that: git runs the filter. The inner file must look changed to git.
        let ran = outer.path().join("ran");
        let filter = format!("touch {}; cat", ran.display());
        outer.git(&["-C", "group/sub", "config", "filter.x.clean", &filter]);
        std::fs::write(place.join("text"), "two\n").unwrap();
        outer.git(&["status"]);
        assert!(ran.exists(), "git looks into it");
        assert_eq!(on(outer.path()), "ask", "{version}");
        // Elsewhere than under it, as submodules have it.
        outer.git(&["-C", "group/sub", "config", "--unset", "filter.x.clean"]);
        let module = outer.path().join(".git/modules/m");
        std::fs::create_dir_all(module.parent().unwrap()).unwrap();
        std::fs::rename(place.join(".git"), &module).unwrap();
        std::fs::write(place.join(".git"), "gitdir: ../../.git/modules/m\n").unwrap();
        outer.git(&["-C", "group/sub", "config", "core.worktree", "../../../group/sub"]);
        assert_eq!(on(outer.path()), "allow", "{version}");
        outer.git(&["-C", "group/sub", "config", "diff.x.textconv", "./x"]);
        assert_eq!(on(outer.path()), "ask", "{version}");
        assert_eq!(on(&place), "ask", "{version}");
    }
    let split = Folder::git_repo();
    split.git(&["update-index", "--split-index"]);
    assert_eq!(on(split.path()), "ask", "most of its index is in another file");
    let broken = Folder::git_repo();
    broken.write(".git/index", "DIRC\0\0\0\x02\u{7f}\u{7f}\u{7f}\u{7f}");
    assert_eq!(on(broken.path()), "ask");
}

#[test]
fn git_that_looks_past_an_empty_git_folder_is_judged_by_the_repository_it_finds() {
    let rules = Rules::built_in().unwrap();
    let on = |cwd: &Path| {
        word(&rules.rule_on(&call("bash"), &Effect::Runs("git status".to_owned()), cwd))
    };
    let repo = Folder::git_repo();
    repo.write("sub/.git/HEAD", "nothing\n");
    repo.write("sub/.git/objects/x", "");
    repo.write("sub/.git/refs/x", "");
    assert_eq!(on(&repo.path().join("sub")), "allow");
    repo.git(&["config", "filter.x.clean", "./clean.sh"]);
    assert_eq!(
        repo.git(&["-C", "sub", "rev-parse", "--git-dir"]).trim(),
        repo.path().join(".git").to_str().unwrap()
    );
    assert_eq!(on(&repo.path().join("sub")), "ask");
}
