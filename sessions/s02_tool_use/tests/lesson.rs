//! The lesson, played; then the hard cases.

use expect_test::expect;
use harness_core::tool::builtin;
use harness_core::{Content, Effect, Tool, ToolContext, ToolError, Toolbox};
use harness_testkit::{Program, Stage};
use s02_tool_use::{Count, LESSON};

#[tokio::test]
async fn the_play() {
    let mut stage = Stage::new(LESSON.play).with(Count);
    expect![[r#"
        human: My notes say "recieve" in places. Correct it, and tell me how long the notes are.
        model: I look which notes there are, and where the word stands.
          call glob {"pattern":"notes/*.md"}
          call grep {"pattern":"recieve"}
          result 1 notes/monday.md
            notes/tuesday.md
          result 2 notes/monday.md:2: We recieve the parcels at nine.
            notes/monday.md:3: Whoever can recieve them signs for them.
            notes/tuesday.md:2: Nothing to recieve today.
          call edit {"path":"notes/monday.md","old_string":"recieve","new_string":"receive"}
          error old_string occurs 2 times (lines 2, 3); add context so that it occurs once, or set replace_all
        model: It stands there twice, and an edit must name one place. Here I mean both, and I can say so.
          call edit {"path":"notes/monday.md","old_string":"recieve","new_string":"receive","replace_all":true}
          call edit {"path":"notes/tuesday.md","old_string":"to recieve","new_string":"to receive"}
          result 1 changed notes/monday.md 2 times:
                 1	# Monday
                 2	We receive the parcels at nine.
                 3	Whoever can receive them signs for them.
          result 2 changed notes/tuesday.md once:
                 1	# Tuesday
                 2	Nothing to receive today.
        model: Now the length.
          call count_words {"path":"notes/monday.md"}
          error there is no tool `count_words`; available: count
        model: There is no such tool, but there is one with another name.
          call count {"path":"notes/monday.md"}
          call count {"path":"notes/tuesday.md"}
          result 1 3 lines, 15 words, 82 bytes
          result 2 2 lines, 6 words, 36 bytes
        model: I corrected three places. Monday has 3 lines and 15 words, Tuesday 2 lines and 6 words.
    "#]]
    .assert_eq(&stage.play().await);
    let monday =
        "# Monday\nWe receive the parcels at nine.\nWhoever can receive them signs for them.\n";
    assert_eq!(stage.folder.read("notes/monday.md"), monday);
}

#[test]
fn the_binary_plays_it_through_a_pipe_and_over_the_wire() {
    for play in [Program::play, Program::play_over_the_wire] {
        let program = Program::new(env!("CARGO_BIN_EXE_s02_tool_use"), LESSON.play);
        let said = play(&program);
        assert!(
            said.contains("▸ count notes/monday.md\n  3 lines, 15 words, 82 bytes\n"),
            "{said}"
        );
        assert!(program.folder.read("notes/tuesday.md").contains("receive"));
    }
}

/// The learner's own tool, as the README's exercise asks for it.
struct Shout;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Words {
    /// What to shout.
    words: String,
}

impl Tool for Shout {
    const NAME: &'static str = "shout";
    const ABOUT: &'static str = "Says it in capitals.";
    type Input = Words;

    fn effect(&self, _: &Words) -> Effect {
        Effect::Internal
    }

    async fn call(&self, input: Words, _: &ToolContext) -> Result<Content, ToolError> {
        match input.words.trim() {
            "" => Err(ToolError::Failed("there is nothing to shout".to_owned())),
            words => Ok(words.to_uppercase().into()),
        }
    }
}

#[tokio::test]
async fn a_tool_of_ones_own_is_one_impl_and_one_add() {
    let mut stage = Stage::lines(
        "- calls: [{tool: shout, input: {words: hello}}, {tool: shout, input: {words: ' '}}]\n- {text: Done.}",
    );
    stage.agent.tools.add(Shout);
    stage.play().await;
    assert_eq!(stage.results(), ["HELLO", "there is nothing to shout"]);
    let requests = stage.witness.requests();
    let names = requests[0]["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]);
    let names: Vec<_> = names.collect();
    assert_eq!(names, ["bash", "read", "write", "edit", "grep", "glob", "shout"]);
}

#[test]
fn the_tool_of_this_session_is_under_25_lines() {
    let source = include_str!("../src/lib.rs");
    let from = source.find("/// What `count` takes.").unwrap();
    let tool = &source[from..source.find("/// The most bytes").unwrap()];
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("//");
    let lines = tool.lines().filter(is_code).count();
    assert!(lines < 25, "{lines} lines");
}

#[test]
fn the_schema_is_the_input_type() {
    let tools = Toolbox::new().with(Count);
    expect![[r#"
        {
          "name": "count",
          "description": "Counts the lines, words and bytes of a text file.",
          "input_schema": {
            "type": "object",
            "additionalProperties": false,
            "properties": {
              "path": {
                "type": "string",
                "description": "The file to count, relative to the workspace."
              }
            },
            "required": [
              "path"
            ]
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&tools.specs()[0]).unwrap());
}

#[tokio::test]
async fn a_missing_field_is_named_with_its_tool() {
    let lines = "
- calls:
  - {tool: count}
  - {tool: count, input: {file: a.txt}}
  - {tool: count, input: {path: [a.txt]}}
  - {tool: count, input: {path: null}}
- {text: I see.}";
    let mut stage = Stage::lines(lines).with(Count);
    stage.play().await;
    assert_eq!(
        stage.results(),
        [
            "the input of `count` does not fit: missing field `path`",
            "the input of `count` does not fit at `file`: unknown field `file`, expected `path`",
            "the input of `count` does not fit at `path`: invalid type: sequence, expected path string",
            "the input of `count` does not fit at `path`: invalid type: null, expected path string",
        ]
    );
}

#[test]
fn what_is_advertised_can_be_called() {
    let stage = Stage::new(LESSON.play).with(Count);
    let tools = &stage.agent.tools;
    assert_eq!(tools.specs().len(), 7);
    assert!(tools.specs().iter().all(|spec| tools.get(&spec.name).is_ok()));
}

#[test]
fn a_second_tool_of_one_name_is_not_taken_and_is_recorded() {
    let stage = Stage::new(LESSON.play).with(Count).with(Count);
    assert_eq!(stage.agent.tools.clashes(), ["count"]);
    assert_eq!(stage.agent.tools.specs().len(), 7);
}

#[test]
fn the_order_of_the_tools_never_changes() {
    let sent = || serde_json::to_string(builtin::all().with(Count).specs().as_ref()).unwrap();
    assert_eq!(sent(), sent());
    let names: Vec<String> =
        builtin::all().with(Count).specs().iter().map(|spec| spec.name.clone()).collect();
    assert_eq!(names, ["bash", "read", "write", "edit", "grep", "glob", "count"]);
}

#[tokio::test]
async fn the_new_tool_is_as_careful_as_the_built_in_ones() {
    let lines = "
- calls:
  - {tool: count, input: {path: ../secret}}
  - {tool: count, input: {path: folder}}
  - {tool: count, input: {path: none}}
  - {tool: count, input: {path: empty}}
  - {tool: count, input: {path: odd}}
  - {tool: count, input: {path: huge}}
- {text: I see.}";
    let mut stage = Stage::lines(lines).with(Count);
    stage.folder.write("folder/x", "");
    stage.folder.write("empty", "");
    std::fs::write(stage.folder.path().join("odd"), b"\xff\xfe\0 \r\nend").unwrap();
    let huge = std::fs::File::create(stage.folder.path().join("huge")).unwrap();
    huge.set_len(10 << 30).unwrap();
    stage.play().await;
    let results = stage.results();
    assert!(results[0].contains("outside the workspace"), "{}", results[0]);
    assert!(results[1].contains("is a directory"), "{}", results[1]);
    assert!(results[2].contains("does not exist"), "{}", results[2]);
    assert_eq!(results[3], "0 lines, 0 words, 0 bytes");
    assert_eq!(results[4], "2 lines, 2 words, 9 bytes");
    assert!(results[5].ends_with("10737418240 bytes (only the start of it was counted)"));
}
