//! Asking the person at the terminal whether a call may run.

use async_trait::async_trait;
use harness_core::host::text;
use harness_core::{Approval, Approver, Question, ToolContext};
use tokio::sync::Mutex;

use crate::input::{Ahead, Input};
use crate::screen::{BOLD, Screen};

const ASKED: &str = "  [y]es, for this [s]ession, [a]lways, or say why not: ";

/// Asks, one question at a time. Anything but a clear yes is a no.
#[derive(Debug)]
pub struct AskPerson {
    input: Input,
    screen: Screen,
    turn: Mutex<()>,
}

impl AskPerson {
    /// Asks through this reader and this screen.
    pub fn new(input: Input, screen: Screen) -> Self {
        Self { input, screen, turn: Mutex::new(()) }
    }
}

#[async_trait]
impl Approver for AskPerson {
    async fn approve(&self, question: &Question<'_>, cx: &ToolContext) -> Approval {
        let Question { call, why, .. } = question;
        let _one_at_a_time = self.turn.lock().await;
        self.screen.rest();
        self.screen.end_line();
        let asked = format!("{} wants to run {} ({why})", cx.agent, call.name);
        self.screen.styled(BOLD, &in_a_line(&asked));
        self.screen.end_line();
        for (name, value) in &call.input {
            // The whole input, hidden characters made visible: what is not shown cannot be agreed to.
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            for (at, line) in value.split('\n').enumerate() {
                let name = if at == 0 { format!("{}: ", in_a_line(name)) } else { "  ".to_owned() };
                self.screen.line(format!("  {name}{}", text::visible(line)));
            }
        }
        let answer = self.input.question(ASKED, Ahead::Refused).await;
        match answer.as_deref().map(str::trim) {
            Some("y" | "yes") => Approval::Once,
            Some("s" | "session") => Approval::Session,
            Some("a" | "always") => Approval::Always,
            Some("" | "n" | "no") => Approval::No("the user said no".to_owned()),
            Some(why) => Approval::No(format!("the user said no: {why}")),
            None => Approval::No("the user gave no answer".to_owned()),
        }
    }
}

/// The reason quotes the call, and so does what names it: no line end in them may begin a line of ours.
fn in_a_line(text: &str) -> String {
    text::visible(text).replace('\n', "\\n")
}
