//! What a model reads of a mail. It is made of the mail's fields; no program reads it back.

use harness_core::{Content, ToolContext, ToolError};

use super::{Mail, MailOutcome, MailRequest};

impl Mail {
    /// What it says, in words: what it asks for, what it says as an answer, and its body.
    pub fn text(&self) -> String {
        let body = &self.body;
        if let Some(MailRequest { what, until }) = &self.request {
            return format!("[{what} until {until:.0}]\n{body}");
        }
        match self.outcome {
            None => body.clone(),
            Some(MailOutcome::Failed) => format!("[failed] {body}"),
            Some(MailOutcome::Approved) => with_comment("approved.", body),
            Some(MailOutcome::Rejected) => with_comment("rejected.", body),
        }
    }
}

fn with_comment(verdict: &str, comment: &str) -> String {
    format!("{verdict} {comment}").trim_end().to_owned()
}

/// A mail as a model reads it. The first line says which mail it is, and whose.
pub fn render(mail: &Mail) -> String {
    let answers = match &mail.in_reply_to {
        Some(id) => format!(", answer to {id}"),
        None => String::new(),
    };
    // The writer of a mail is not to speak in the harness's voice.
    let text = mail.text().replace("system-reminder>", "system-reminder >");
    format!("[mail {} from {}{answers}]\n{text}", mail.id, mail.from)
}

/// A mail as the result of the call that waited for it. The call delivers it, so it is not delivered again.
///
/// # Errors
/// The mail says that there is no answer. The model reads that too.
pub fn as_result(mail: &Mail, cx: &ToolContext) -> Result<Content, ToolError> {
    cx.deliver(&mail.id.0);
    if mail.outcome == Some(MailOutcome::Failed) {
        return Err(ToolError::Failed(render(mail)));
    }
    Ok(render(mail).into())
}
