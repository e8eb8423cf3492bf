//! The lesson, played.
