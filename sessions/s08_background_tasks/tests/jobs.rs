//! Jobs: what runs on, and how its end is reported. The hard cases are in `lesson.rs`, with real programs.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use futures_util::FutureExt;
use harness_testkit::Folder;
use s08_background_tasks::Jobs;

async fn jobs(folder: &Folder) -> Jobs {
    let (jobs, told) = Jobs::open(folder.path(), "jobs", "job").await.unwrap();
    assert!(told.is_empty(), "{told:?}");
    jobs
}

#[tokio::test]
async fn news_wakes_once_and_is_told_once() {
    let folder = Folder::new();
    let (jobs, cx) = (jobs(&folder).await, folder.context());
    let (id, file) = jobs.start("echo one; exit 3".to_owned(), None, &cx).unwrap();
    assert_eq!((id.as_str(), file.as_str()), ("job-1", ".harness/jobs/job-1.log"));
    jobs.wake.notified().await;
    let news = jobs.news();
    assert_eq!(news.len(), 1);
    assert_eq!(news[0].job, "job-1 (echo one; exit 3) exited with code 3");
    assert_eq!((news[0].excerpt.as_str(), news[0].file.as_str()), ("one\n", file.as_str()));
    assert!(jobs.news().is_empty());
    assert!(jobs.wake.notified().now_or_never().is_none());
}

#[tokio::test]
async fn whoever_takes_the_news_takes_the_wake_up_along() {
    let folder = Folder::new();
    let (jobs, cx) = (jobs(&folder).await, folder.context());
    for command in ["exit 1", "exit 2"] {
        jobs.start(command.to_owned(), Some("two of them".to_owned()), &cx).unwrap();
    }
    while !jobs.running().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(jobs.news().len(), 2);
    assert!(jobs.wake.notified().now_or_never().is_none(), "nobody is woken for nothing");
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_started() {
    let folder = Folder::new();
    let (jobs, cx) = (jobs(&folder).await, folder.context());
    folder.write(".harness", "in the way");
    let error = jobs.start("touch made".to_owned(), None, &cx).unwrap_err().to_string();
    assert!(error.contains(".harness"), "{error}");
    assert!(jobs.list().is_empty() && !folder.has("made"));
}

#[tokio::test]
async fn a_long_name_is_cut_and_odd_characters_are_not_shown() {
    let folder = Folder::new();
    let (jobs, cx) = (jobs(&folder).await, folder.context());
    let label = format!("\u{1b}[31mred\u{1b}[0m\n{}", "é".repeat(100));
    jobs.start("true".to_owned(), Some(label), &cx).unwrap();
    jobs.wake.notified().await;
    let line = jobs.list().remove(0);
    assert_eq!(line, format!("job-1 (red {}…) exited with code 0", "é".repeat(56)));
}
