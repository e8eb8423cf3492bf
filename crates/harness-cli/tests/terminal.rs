//! The prompt line in a real terminal: waking it, typing ahead, questions, Ctrl-C.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod common;

use common::every_seam;
use harness_testkit::{Folder, Key, Terminal};

fn start(folder: &Folder, columns: u16) -> Terminal {
    let terminal = Terminal::start(every_seam(folder), columns, 40);
    terminal.wait_for("s00 >>");
    terminal
}

#[test]
fn enter_sends_the_plays_prompt_and_q_leaves_with_success() {
    let folder = Folder::new();
    folder.write("one", "");
    let mut terminal = start(&folder, 80);
    terminal.key(Key::Enter);
    terminal.wait_for("say why not:");
    terminal.line("y");
    terminal.wait_for("Done.");
    terminal.line("q");
    assert!(terminal.wait_for_end().success());
}

#[test]
fn one_shot_at_a_terminal_shows_the_answer_once() {
    let folder = Folder::new();
    let mut command = every_seam(&folder);
    command.args(["-p", "ahead"]);
    let mut terminal = Terminal::start(command, 80, 40);
    assert!(terminal.wait_for_end().success());
    let screen = terminal.wait_for("I heard what was typed ahead.");
    assert_eq!(screen.matches("I heard what was typed ahead.").count(), 1, "{screen}");
}

#[test]
fn a_terminal_that_says_it_is_dumb_is_sent_no_control_sequence() {
    let folder = Folder::new();
    let mut command = every_seam(&folder);
    command.env("TERM", "dumb").env("CI", "true"); // where terminals are taken to have colours
    let mut terminal = Terminal::start(command, 80, 40);
    terminal.wait_for("s00 >>");
    terminal.line("go");
    terminal.wait_for("say why not:");
    terminal.line("y");
    terminal.wait_for("▸ wait one");
    folder.write("one", "");
    terminal.wait_for("Done.");
    terminal.line("q");
    assert!(terminal.wait_for_end().success());
    let raw = terminal.raw();
    assert!(!raw.contains('\u{1b}'), "{raw:?}");
}

#[test]
fn news_wake_the_idle_prompt_and_half_a_line_stays() {
    let folder = Folder::new();
    let mut terminal = start(&folder, 80);
    terminal.line(":later");
    terminal.wait_for("I will.");
    terminal.send("half a li");
    terminal.wait_for("half a li");
    folder.write("wake", "");
    terminal.wait_until("the news, then the prompt with what was typed", |screen| {
        screen.contains("the file is there")
            && screen.contains("I was steered.")
            && screen.trim_end().ends_with("s00 >> half a li")
    });
    for _ in "half a li".chars() {
        terminal.key(Key::Backspace);
    }
    terminal.line("q");
    assert!(terminal.wait_for_end().success());
}

#[test]
fn a_line_typed_during_a_turn_waits_as_a_next_prompt_and_half_a_line_is_not_lost() {
    let folder = Folder::new();
    let terminal = start(&folder, 80);
    terminal.line("go");
    terminal.wait_for("say why not:");
    terminal.line("y");
    terminal.wait_for("▸ wait one");
    terminal.line("ahead");
    terminal.wait_for("waits as a next prompt: ahead");
    terminal.send("half a li");
    folder.write("one", "");
    terminal.wait_until("the waiting line was sent, and half a line is at the prompt", |screen| {
        screen.contains("I heard what was typed ahead.")
            && screen.trim_end().ends_with("s00 >> half a li")
    });
}

#[test]
fn what_is_typed_beside_the_spinner_stays_to_be_seen() {
    let folder = Folder::new();
    let terminal = start(&folder, 80);
    terminal.line("go");
    terminal.wait_for("say why not:");
    terminal.line("y");
    terminal.wait_for("▸ wait one");
    terminal.wait_until("the spinner", |screen| screen.trim_end().ends_with(" s"));
    terminal.send("half a li");
    terminal.wait_for(" s half a li");
    terminal.wait_until("the spinner has gone on", |screen| {
        !screen.contains(" 0 s") && screen.contains(" s half a li")
    });
}

#[test]
fn ctrl_c_stops_the_turn_and_the_next_prompt_works() {
    let folder = Folder::new();
    let terminal = start(&folder, 80);
    terminal.line("go");
    terminal.wait_for("say why not:");
    terminal.line("y");
    terminal.wait_for("▸ wait one");
    terminal.key(Key::CtrlC);
    terminal.wait_for("interrupted; the conversation goes on");
    terminal.line("ahead");
    terminal.wait_for("I heard what was typed ahead.");
}

#[test]
fn ctrl_c_twice_at_the_prompt_leaves() {
    let folder = Folder::new();
    let mut terminal = start(&folder, 80);
    terminal.key(Key::CtrlC);
    terminal.wait_for("Ctrl-C again leaves");
    terminal.key(Key::CtrlC);
    assert_eq!(terminal.wait_for_end().code(), Some(130));
}

#[test]
fn ctrl_d_leaves_with_success() {
    let folder = Folder::new();
    let mut terminal = start(&folder, 80);
    terminal.key(Key::CtrlD);
    assert!(terminal.wait_for_end().success());
}

#[test]
fn a_question_shows_the_whole_call_and_any_other_words_are_a_no() {
    let folder = Folder::new();
    let terminal = start(&folder, 80);
    terminal.line("go");
    let screen = terminal.wait_for("say why not:");
    assert!(screen.contains("lead wants to run wait (the stub asks for everything)"), "{screen}");
    assert!(screen.contains("name: one"), "{screen}");
    terminal.line("not now");
    terminal.wait_for("denied: the user said no: not now");
}

#[test]
fn ctrl_c_at_a_question_is_a_no_and_stops_the_turn() {
    let folder = Folder::new();
    let terminal = start(&folder, 80);
    terminal.line("go");
    terminal.wait_for("say why not:");
    terminal.key(Key::CtrlC);
    terminal.wait_for("denied: the user interrupted");
    terminal.wait_for("interrupted; the conversation goes on");
    terminal.line("ahead");
    terminal.wait_for("I heard what was typed ahead.");
}

#[test]
fn a_yes_that_was_typed_ahead_answers_nothing() {
    let folder = Folder::new();
    let terminal = start(&folder, 80);
    // Both lines at once: the second is there before the question is.
    terminal.send("go\ry\r");
    let seen = terminal.wait_until("the call was denied, or the question is open", |screen| {
        screen.contains("denied: the user gave no answer") || screen.contains("say why not:")
    });
    assert!(!seen.contains("▸ wait one\n  one is there"), "{seen}");
}

#[test]
fn lines_that_come_all_at_once_are_all_run() {
    let folder = Folder::new();
    let terminal = start(&folder, 80);
    terminal.send("ahead\r:seen\rhalf a li");
    terminal.wait_until("both lines were run, and half a line is at the prompt", |screen| {
        screen.contains("I heard what was typed ahead.")
            && screen.contains("observer layer persist before_model")
            && screen.trim_end().ends_with("s00 >> half a li")
    });
}

#[test]
fn twenty_columns_are_enough() {
    let folder = Folder::new();
    folder.write("one", "");
    let terminal = start(&folder, 20);
    // The terminal breaks long lines where it likes, so look at the words without its line ends.
    let shows = |words: &'static str| {
        move |screen: &str| screen.replace(['\n', ' '], "").contains(&words.replace(' ', ""))
    };
    terminal.line("go");
    terminal.wait_until("the question", shows("say why not:"));
    terminal.line("y");
    terminal.wait_for("Done.");
    terminal.line(":help");
    terminal.wait_until("the help", shows("a second one leaves."));
}

#[test]
fn every_stub_on_every_seam_was_called() {
    let folder = Folder::new();
    folder.write("one", "");
    let terminal = start(&folder, 120);
    terminal.line("go");
    terminal.wait_for("say why not:");
    terminal.line("y");
    terminal.wait_for("Done.");
    terminal.line(":seen");
    let screen = terminal.wait_for("after_tool");
    for seam in [
        "observer",
        "before_model",
        "shape_request",
        "before_tool",
        "after_tool",
        "persist",
        "before_stop",
        "schedule",
        "policy",
        "layer",
        "display",
    ] {
        assert!(screen.contains(seam), "{seam} is missing in\n{screen}");
    }
}

#[test]
fn a_closed_terminal_ends_the_program() {
    let folder = Folder::new();
    let mut terminal = start(&folder, 80);
    let pid = rustix::process::Pid::from_raw(terminal.pid().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    assert_eq!(terminal.wait_for_end().code(), Some(129));
}
