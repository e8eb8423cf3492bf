//! A lock that a panic does not poison.

use std::sync::{MutexGuard, PoisonError};

/// [`std::sync::Mutex`] that ignores poisoning: after a panic the next holder gets the value as the panic left
/// it, not a second error. Each lock here is held for a few lines that leave the value consistent, and never
/// across an `.await`; and a tool that panicked in its own task must not take the display or the mailbox with it.
#[derive(Debug, Default)]
pub struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// A lock around a value.
    pub const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    /// Waits for the lock and holds it until the guard is dropped. Not reentrant: locking it twice in one
    /// thread deadlocks.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_next_holder_after_a_panic_gets_the_value_as_it_was_left() {
        let lock = Arc::new(Mutex::new(1));
        let held = lock.clone();
        let panicked = std::thread::spawn(move || {
            let mut value = held.lock();
            *value += 1;
            panic!("while it was held");
        });
        assert!(panicked.join().is_err());
        assert_eq!(*lock.lock(), 2);
    }
}
