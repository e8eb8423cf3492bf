//! A lock that a panic does not poison.

use std::sync::{MutexGuard, PoisonError};

/// [`std::sync::Mutex`], except that whoever locks it after a panic is given what the panic left, not a
/// second error. Each lock here is held for a few lines that leave what they guard whole, and never across
/// an `.await`; and a tool that panicked in its own task must not take the display or the mailbox with it.
#[derive(Debug, Default)]
pub struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// A lock around a value; nobody holds it.
    pub const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    /// Waits until nobody holds it, then holds it until the guard is dropped. Whoever holds it already and
    /// locks again waits for itself.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was guarded.
    pub fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn who_comes_after_a_panic_has_what_it_left() {
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
