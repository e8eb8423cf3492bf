//! The lesson.
mod common;
