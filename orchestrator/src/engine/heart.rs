//! Whether a loop of our own is stuck. One that waits, for an input, the database or Kafka, is not: an outage of others
//! must not restart this process.

use super::limits::STUCK;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

/// The beats of every loop.
#[derive(Debug)]
pub struct Heart {
    zero: Instant,
    stopped: AtomicBool,
    loops: Mutex<Vec<Arc<Beat>>>,
}

/// One loop's beat.
#[derive(Debug)]
pub struct Beat {
    name: String,
    zero: Instant,
    waiting: AtomicBool,
    ended: AtomicBool,
    last_millis: AtomicU64,
}

impl Heart {
    pub fn new() -> Self {
        Self {
            zero: Instant::now(),
            stopped: AtomicBool::new(false),
            loops: Mutex::default(),
        }
    }

    /// A loop joins.
    pub fn beat(&self, name: impl Into<String>) -> Arc<Beat> {
        let beat = Arc::new(Beat {
            name: name.into(),
            zero: self.zero,
            waiting: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            last_millis: AtomicU64::new(0),
        });
        beat.now();
        self.loops
            .lock()
            .expect("no holder of this lock panics")
            .push(Arc::clone(&beat));
        beat
    }

    /// Fails if a loop is stuck, has died, or the heart was told to stop.
    pub fn beating(&self) -> Result<(), String> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err("the engine's heartbeat was stopped on request".to_owned());
        }
        let loops = self.loops.lock().expect("no holder of this lock panics");
        loops.iter().try_for_each(|beat| beat.check())
    }

    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

impl Beat {
    fn now(&self) {
        let millis = u64::try_from(self.zero.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_millis.store(millis, Ordering::Relaxed);
    }

    /// Waits for something that others owe us.
    pub async fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.waiting.store(true, Ordering::Relaxed);
        let output = future.await;
        self.now();
        self.waiting.store(false, Ordering::Relaxed);
        output
    }

    /// The loop left in good order.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), String> {
        if self.ended.load(Ordering::Relaxed) || self.waiting.load(Ordering::Relaxed) {
            return Ok(());
        }
        let millis = u64::try_from(self.zero.elapsed().as_millis()).unwrap_or(u64::MAX);
        let silent = millis.saturating_sub(self.last_millis.load(Ordering::Relaxed));
        if u128::from(silent) > STUCK.as_millis() {
            return Err(format!(
                "the loop {} has not gone round for {silent} ms",
                self.name
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_waits_is_not_stuck_and_one_that_does_not_go_round_is() {
        let heart = Heart::new();
        let beat = heart.beat("shard 0");
        tokio::time::timeout(
            Duration::from_secs(3600),
            beat.wait(std::future::pending::<()>()),
        )
        .await
        .unwrap_err();
        assert_eq!(
            heart.beating(),
            Ok(()),
            "an hour of waiting for others is no fault of ours"
        );
        beat.wait(async {}).await;
        tokio::time::advance(STUCK + Duration::from_millis(1)).await;
        assert!(heart.beating().unwrap_err().contains("shard 0"));
    }
}
