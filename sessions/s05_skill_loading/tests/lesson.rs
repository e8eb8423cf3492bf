//! The lesson, played; then the hard cases.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use expect_test::expect;
use harness_testkit::{Folder, Stage};
use s05_skill_loading::{LESSON, Skill, Skills, catalogue, places};

/// The skills that this repository ships.
fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../skills").canonicalize().unwrap()
}

/// A sound `SKILL.md`.
fn sound(name: &str, description: &str) -> String {
    format!("---\nname: {name}\ndescription: {description}\n---\n\nBody of {name}.\n")
}

/// A stage with what stands in its folder's `skills/`.
fn stage(lines: &str, files: &[(&str, &str)]) -> Stage {
    let stage = Stage::lines(lines);
    for (path, text) in files {
        stage.folder.write(path, text);
    }
    let skills = Skills::from_dirs([stage.agent.cwd.join("skills")]);
    stage.with(skills)
}

#[tokio::test]
async fn the_play() {
    let stage = Stage::new(LESSON.play);
    let dirs = places(&stage.agent.cwd, None);
    let mut stage = stage.with(Skills::from_dirs(dirs));
    let body = Skill::read(&shipped().join("code-review")).unwrap().body;
    let body: String =
        body.lines().map(|line| format!("    {line}").trim_end().to_owned() + "\n").collect();
    let played = stage.play().await.replace(&shipped().display().to_string(), "SHIPPED");
    expect![[r#"
        human: Write the release notes of 1.2.0.
        model: The catalogue has a skill for this. I load it before I begin.
          call load_skill {"name":"release-notes"}
          result [skill release-notes, skills/release-notes/SKILL.md]

            # Release notes

            1. Read `references/style.md`, a file of this skill.
            2. Take what changed from `CHANGES` in the workspace.
            3. Write `NOTES.md`, and run `scripts/check.sh NOTES.md`, which is beside this file.
        model: It names two texts. I try to get both the same way.
          call load_skill {"name":"release-notes","file":"references/style.md"}
          call load_skill {"name":"release-notes","file":"../../CHANGES"}
          result 1 [skill release-notes, skills/release-notes/references/style.md]

            A line for each change, what is new before what is mended, at most 72 characters a line.
            Say what the user can do now, not what you did.
          error 2 "../../CHANGES" leads out of FOLDER/skills/release-notes
        model: A skill's files end at its folder. CHANGES belongs to the workspace, so `read` reads it.
          call read {"path":"CHANGES"}
          result      1	fixed: --quiet printed a line
                 2	added: --since takes a date
          call write {"path":"NOTES.md","content":"- List only what is new: --since takes a date.\n- --quiet prints nothing any more.\n"}
          call bash {"command":"sh skills/release-notes/scripts/check.sh NOTES.md"}
          result 1 made NOTES.md (82 bytes)
          result 2 NOTES.md keeps the style
        model: NOTES.md has two lines, in the project's style, and its own check passed.
        human: Review skills/release-notes/scripts/check.sh.
        model: For a review there is a skill too. I also make sure that I still have the first one.
          call load_skill {"name":"code-review"}
          call load_skill {"name":"release-notes"}
          result 1 [skill code-review, SHIPPED/code-review/SKILL.md]

            (the body)
          result 2 this is loaded already: it stands above, and has not changed since
        model: The second was loaded already and cost one line. Step 3 of the review is to break the script.
          call bash {"command":"sh skills/release-notes/scripts/check.sh missing.md 2>/dev/null"}
          result missing.md keeps the style
        model: Do not rely on it yet.
            wrong · scripts/check.sh:2 · a file that is not there keeps the style
              seen: check.sh missing.md → "missing.md keeps the style"
              instead: test -f "$1" before the grep
    "#]].assert_eq(&played.replace(&body, "    (the body)\n"));
    assert!(stage.folder.has("NOTES.md"));
}

#[test]
fn the_skills_that_come_with_the_course_are_found_from_any_folder() {
    let elsewhere = Folder::new();
    let skills = Skills::from_dirs(places(elsewhere.path(), None));
    assert_eq!(skills.names().collect::<Vec<_>>(), ["agent-builder", "code-review", "pdf"]);
    assert_eq!(skills.news(9), ["skills (3): agent-builder, code-review, pdf"]);
    assert_eq!(Skills::from_dirs([]).news(9), ["skills (0): "], "that there are none is said");
}

#[tokio::test]
async fn the_catalogue_shows_the_description_and_not_the_first_line_of_the_body() {
    let text = "---\nname: greet\ndescription: >\n  Greets people.\n  Use when one says hello.\n---\n\nLoad when asked:\n";
    let mut stage = stage("- {text: Hello.}", &[("skills/greet/SKILL.md", text)]);
    stage.play().await;
    let system = stage.witness.requests()[0]["system"].to_string();
    assert!(system.contains("- greet: Greets people. Use when one says hello.\\n"), "{system}");
    assert!(!system.contains("Load when asked"), "{system}");
}

#[tokio::test]
async fn a_name_is_looked_up_and_never_taken_for_a_path() {
    let lines = "
- calls: [{tool: load_skill, input: {name: ../../x}}, {tool: load_skill, input: {name: /etc}}, {tool: load_skill, input: {name: ''}}]
- calls: [{tool: load_skill, input: {name: gret}}]
- {text: I see.}";
    let files =
        [("skills/greet/SKILL.md", &*sound("greet", "x")), ("x/SKILL.md", &sound("x", "x"))];
    let mut stage = stage(lines, &files);
    stage.play().await;
    expect![[r#"
        there is no skill "../../x"; there is: list_skills shows them
        there is no skill "/etc"; there is: list_skills shows them
        there is no skill ""; there is: list_skills shows them
        there is no skill "gret"; there is: greet"#]].assert_eq(&stage.results().join("\n"));
}

#[tokio::test]
async fn a_file_that_is_not_in_the_skills_own_folder_is_refused() {
    let lines = "
- calls:
  - {tool: load_skill, input: {name: greet, file: ../other/SKILL.md}}
  - {tool: load_skill, input: {name: greet, file: /etc/hostname}}
  - {tool: load_skill, input: {name: greet, file: link}}
  - {tool: load_skill, input: {name: greet, file: folder/../../../secret}}
  - {tool: load_skill, input: {name: greet, file: none.md}}
  - {tool: load_skill, input: {name: greet, file: folder}}
  - {tool: load_skill, input: {name: greet, file: folder/inside.md}}
- {text: I see.}";
    let files = [
        ("skills/greet/SKILL.md", &*sound("greet", "x")),
        ("skills/greet/folder/inside.md", "inside"),
        ("skills/other/SKILL.md", "secret"),
        ("secret", "secret"),
    ];
    let mut stage = stage(lines, &files);
    symlink("../../secret", stage.folder.path().join("skills/greet/link")).unwrap();
    stage.play().await;
    let results =
        stage.results().join("\n").replace(&stage.agent.cwd.display().to_string(), "FOLDER");
    expect![[r#"
        "../other/SKILL.md" leads out of FOLDER/skills/greet
        "/etc/hostname" leads out of FOLDER/skills/greet
        "link" leads out of FOLDER/skills/greet
        "folder/../../../secret" leads out of FOLDER/skills/greet
        "none.md" does not exist; check the spelling, or list the folder
        "folder" is a directory, not a regular file; name a regular file
        [skill greet, skills/greet/folder/inside.md]

        inside"#]].assert_eq(&results);
}

#[tokio::test]
async fn loading_twice_is_a_note_while_the_first_still_stands_unchanged() {
    let load = "- calls: [{tool: load_skill, input: {name: greet}}]\n";
    let lines = format!("{load}{load}- {{text: Loaded.}}");
    let mut stage = stage(&lines, &[("skills/greet/SKILL.md", &sound("greet", "x"))]);
    stage.play().await;
    assert!(stage.results()[0].contains("Body of greet."));
    assert_eq!(
        stage.results()[1],
        "this is loaded already: it stands above, and has not changed since"
    );

    // Another conversation of the same agent: a subagent's, say.
    let first = std::mem::take(&mut stage.conversation);
    stage.witness = stage.witness.clone().allow_forks();
    stage.play().await;
    assert!(stage.results()[0].contains("Body of greet."));

    // The file is another by now.
    stage.conversation = first;
    stage.folder.write("skills/greet/SKILL.md", "---\nname: greet\ndescription: x\n---\nBetter.\n");
    stage.play().await;
    assert!(stage.results()[2].ends_with("Better."), "{}", stage.results()[2]);

    // What was loaded is no longer in the conversation.
    let call = stage.conversation.messages()[1].calls().next().unwrap().id.clone();
    for call in [call, "script_3_0".to_owned(), "script_7_0".to_owned(), "script_5_0".to_owned()] {
        stage.conversation.shorten(&call, "[pruned]");
    }
    stage.witness = stage.witness.clone().allow_rewrites();
    stage.play().await;
    assert!(stage.results()[4].ends_with("Better."), "{}", stage.transcript());
}

#[tokio::test]
async fn a_skill_that_broke_after_the_start_is_refused_with_its_line() {
    let mut stage = stage(
        "- calls: [{tool: load_skill, input: {name: greet}}]\n- {text: I see.}",
        &[("skills/greet/SKILL.md", &sound("greet", "x"))],
    );
    stage
        .folder
        .write("skills/greet/SKILL.md", "---\nname: greet\ndescription: a: b\n---\nBody.\n");
    stage.play().await;
    let why = &stage.results()[0];
    assert!(why.contains("skills/greet/SKILL.md:3: mapping values are not allowed"), "{why}");
}

#[test]
fn a_skill_of_the_workspace_hides_the_users_and_says_so() {
    let (work, home) = (Folder::new(), Folder::new());
    work.write(".claude/skills/greet/SKILL.md", &sound("greet", "the workspace's"));
    home.write(".claude/skills/greet/SKILL.md", &sound("greet", "the user's"));
    home.write(".claude/skills/own/SKILL.md", &sound("own", "the user's"));
    let skills = Skills::from_dirs(places(work.path(), Some(home.path())));
    let (work, home) = (work.path().display(), home.path().display());
    assert_eq!(
        skills.news(9),
        [
            "skills (5): agent-builder, code-review, greet, own, pdf".to_owned(),
            format!("{work}/.claude/skills/greet hides {home}/.claude/skills/greet"),
        ]
    );
}

#[test]
fn a_folder_that_is_met_twice_hides_nothing() {
    let work = Folder::new();
    work.write("skills/greet/SKILL.md", &sound("greet", "x"));
    std::fs::create_dir(work.path().join(".claude")).unwrap();
    symlink("../skills", work.path().join(".claude/skills")).unwrap();
    assert_eq!(places(work.path(), Some(work.path())).len(), 2, "the workspace's and the course's");
}
