//! Measures how many messages a second go through a mailbox, in memory and in files. Prints
//! `name<TAB>value<TAB>unit`; run by `cargo xtask bench`. Redis is measured where it lives, in s22.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, run by hand")]

use std::sync::Arc;

use harness_core::mail::{FileMailbox, MemoryMailbox, News};
use harness_testkit::mailboxes::{NAMES, messages_a_second};

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let memory = Arc::new(MemoryMailbox::new(NAMES));
    let rate = runtime.block_on(messages_a_second(memory, 20_000));
    println!("mailbox_memory\t{rate:.0}\t1/s");
    let files = FileMailbox::open(folder.path(), NAMES, News::default()).unwrap();
    let rate = runtime.block_on(messages_a_second(Arc::new(files), 1_000));
    println!("mailbox_files\t{rate:.0}\t1/s");
}
