//! What the polling thread, its rebalances and the acknowledgements share.

use super::window::{Given, Window};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The offsets that are out, and how they come back.
#[derive(Default)]
pub struct Shared {
    window: Mutex<Window>,
    done: Condvar,
    closing: AtomicBool,
}

impl Shared {
    pub fn window(&self) -> MutexGuard<'_, Window> {
        // Nothing in there panics half-way, so a poisoned lock guards sound data.
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something is done, or that long, while `full` holds.
    pub fn wait_while(&self, full: impl Fn(&Window) -> bool, most: Duration) {
        let window = self.window();
        if full(&window) {
            drop(
                self.done
                    .wait_timeout(window, most)
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
    }

    /// Whether it is closed.
    pub fn closed(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Nothing more will be taken or acknowledged.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }
}

/// An acknowledgement on its way. Dropped before it is done, the command is given out again.
pub struct Pending {
    given: Option<Given>,
    shared: Arc<Shared>,
}

impl Pending {
    /// For what was given out just now.
    pub fn new(given: Given, shared: Arc<Shared>) -> Self {
        Self {
            given: Some(given),
            shared,
        }
    }

    /// The command is done for good.
    pub fn done(mut self) {
        if let Some(given) = self.given.take() {
            self.shared.window().done(given);
            self.shared.done.notify_one();
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(given) = self.given.take() {
            self.shared.window().dropped(given);
        }
    }
}
