//! What servers have to say to the user, until it can be shown.

use std::sync::Arc;

use harness_core::Mutex;
use harness_core::host::text;

/// The most notices that servers may leave: one that misbehaves may have some every moment.
const MAX_NOTICES: usize = 50;
/// The most bytes of one notice.
const MAX_NOTICE_BYTES: usize = 600;

/// The notices of all servers. A clone is the same list.
#[derive(Clone, Default)]
pub(super) struct Notices(Arc<Mutex<Vec<String>>>);

impl Notices {
    /// One more, whatever is there already.
    pub(super) fn add(&self, notice: String) {
        self.0.lock().push(notice);
    }

    /// One more from a server; left out if there are too many.
    pub(super) fn add_from_server(&self, notice: String) {
        let mut notices = self.0.lock();
        if notices.len() < MAX_NOTICES {
            notices.push(notice);
        } else if notices.len() == MAX_NOTICES {
            notices.push("more notices of MCP servers were left out".to_owned());
        }
    }

    /// Takes all of them, a line each.
    pub(super) fn take(&self) -> Vec<String> {
        let taken = std::mem::take(&mut *self.0.lock());
        taken.iter().map(|notice| one_line(notice)).collect()
    }
}

fn one_line(notice: &str) -> String {
    text::clip(&text::line(notice), MAX_NOTICE_BYTES, 0).replace('\n', " ")
}
