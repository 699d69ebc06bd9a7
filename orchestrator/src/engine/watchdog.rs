//! Liveness watchdog of the engine's tasks.
//!
//! A task that neither waits nor makes progress is stuck. A task that waits for an input, the database or Kafka is not:
//! an outage elsewhere must not restart this process.

use super::limits::STUCK_AFTER;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

/// The heartbeats of all tasks.
#[derive(Debug)]
pub struct Watchdog {
    epoch: Instant,
    stopped: AtomicBool,
    heartbeats: Mutex<Vec<Arc<Heartbeat>>>,
}

/// The heartbeat of one task.
#[derive(Debug)]
pub struct Heartbeat {
    task: String,
    epoch: Instant,
    waiting: AtomicBool,
    finished: AtomicBool,
    /// The task's last progress, in milliseconds since `epoch`.
    progress_millis: AtomicU64,
}

impl Watchdog {
    pub fn new() -> Self {
        Self {
            epoch: Instant::now(),
            stopped: AtomicBool::new(false),
            heartbeats: Mutex::default(),
        }
    }

    /// Registers a task.
    pub fn heartbeat(&self, task: impl Into<String>) -> Arc<Heartbeat> {
        let heartbeat = Arc::new(Heartbeat {
            task: task.into(),
            epoch: self.epoch,
            waiting: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            progress_millis: AtomicU64::new(millis_since(self.epoch)),
        });

        let mut heartbeats = self.heartbeats.lock().expect("lock poisoned");
        heartbeats.push(Arc::clone(&heartbeat));
        heartbeat
    }

    /// Fails if a task is stuck or has panicked, or if the watchdog was stopped.
    pub fn check(&self) -> Result<(), String> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err("the heartbeat was stopped by a request".to_owned());
        }

        let heartbeats = self.heartbeats.lock().expect("lock poisoned");
        heartbeats
            .iter()
            .try_for_each(|heartbeat| heartbeat.check())
    }

    /// Makes every later check fail.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

impl Heartbeat {
    /// Awaits something that is not under the task's control. The task counts as live meanwhile.
    pub async fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.waiting.store(true, Ordering::Relaxed);
        let output = future.await;

        // The progress is stored before the flag is cleared, so that a check in between sees a fresh time.
        self.progress_millis
            .store(millis_since(self.epoch), Ordering::Relaxed);
        self.waiting.store(false, Ordering::Relaxed);
        output
    }

    /// Marks a regular end of the task. Without it the task is reported as stuck, as after a panic.
    pub fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), String> {
        if self.finished.load(Ordering::Relaxed) || self.waiting.load(Ordering::Relaxed) {
            return Ok(());
        }

        let progress_millis = self.progress_millis.load(Ordering::Relaxed);
        let idle_millis = millis_since(self.epoch).saturating_sub(progress_millis);
        if u128::from(idle_millis) > STUCK_AFTER.as_millis() {
            return Err(format!(
                "task {} made no progress for {idle_millis} ms",
                self.task
            ));
        }
        Ok(())
    }
}

fn millis_since(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn watchdog_reports_stuck_task_not_waiting_task() {
        let watchdog = Watchdog::new();
        let heartbeat = watchdog.heartbeat("shard 0");

        let waiting = heartbeat.wait(std::future::pending::<()>());
        tokio::time::timeout(Duration::from_secs(3600), waiting)
            .await
            .unwrap_err();
        assert_eq!(watchdog.check(), Ok(()), "the task still waits");

        heartbeat.wait(async {}).await;
        tokio::time::advance(STUCK_AFTER + Duration::from_millis(1)).await;
        assert!(watchdog.check().unwrap_err().contains("shard 0"));
    }
}
