//! The load: sagas are started, each by one request that is answered when it has ended.

use super::connection::{Connection, Request};
use super::latencies::Latencies;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Starts that an open loop has under way at the most: sockets are bounded, and beyond this the server has lost anyway.
const OPEN_MOST: u64 = 4_000;
/// An open loop keeps room for so many seconds' worth of starts.
const OPEN_SECONDS: u64 = 5;
/// A timer of ours may fire so late; that is the client's doing, not latency.
const TIMER_SLACK: Duration = Duration::from_micros(1500);
/// After an answer that started nothing, one loop waits so long.
const AFTER_REFUSAL: Duration = Duration::from_millis(100);

/// How sagas are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Closed loop: so many are always under way.
    InFlight(u64),
    /// Open loop: so many a second, whatever becomes of them. Latency counts from the intended start.
    Rate(u64),
}

/// What was counted while counting was on.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// Requests sent.
    pub started: u64,
    /// Sagas completed (201).
    pub completed: u64,
    /// Of the completed.
    pub latencies: Latencies,
    /// Other answers, by what they were.
    pub others: BTreeMap<String, u64>,
}

/// A load under way.
pub struct Load {
    request: Request,
    pace: Pace,
    began: Instant,
    until: Instant,
    next: AtomicU64,
    idle: Mutex<Vec<Connection>>,
    counted: Mutex<Option<Counted>>,
}

impl Load {
    /// Ready to run for so long. Nothing is counted until [`Load::count`].
    pub fn new(request: Request, pace: Pace, lasts: Duration) -> Arc<Self> {
        let began = Instant::now();
        Arc::new(Self {
            request,
            pace,
            began,
            until: began + lasts,
            next: AtomicU64::new(0),
            idle: Mutex::default(),
            counted: Mutex::new(None),
        })
    }

    /// Runs to its end.
    pub async fn run(self: Arc<Self>) {
        let loops = match self.pace {
            Pace::InFlight(loops) => loops,
            Pace::Rate(rate) => (rate * OPEN_SECONDS).clamp(64, OPEN_MOST),
        };
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..loops {
            let load = Arc::clone(&self);
            tasks.spawn(async move { while load.one().await {} });
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Counts from now on.
    pub fn count(&self) {
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner) = Some(Counted::default());
    }

    /// What was counted; counts no longer.
    pub fn counted(&self) -> Counted {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }

    /// One saga; false at the end.
    async fn one(&self) -> bool {
        let Some(from) = self.turn().await else { return false };
        self.with(|counted| counted.started += 1);
        let answer = self.send().await;
        let took = from.elapsed();
        let refused = !matches!(answer, Ok(201 | 202 | 409));
        self.with(|counted| match answer {
            Ok(201) => {
                counted.completed += 1;
                counted.latencies.record(took);
            }
            Ok(status) => *counted.others.entry(format!("answered {status}")).or_default() += 1,
            Err(error) => *counted.others.entry(error.to_string()).or_default() += 1,
        });
        if refused {
            sleep(AFTER_REFUSAL).await;
        }
        true
    }

    /// Waits for the moment to start the next saga: the moment that its latency counts from.
    async fn turn(&self) -> Option<Instant> {
        let Pace::Rate(rate) = self.pace else {
            return Some(Instant::now()).filter(|now| *now < self.until);
        };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let intended = self.began + Duration::from_nanos(number * 1_000_000_000 / rate.max(1));
        if intended >= self.until {
            return None;
        }
        let free = Instant::now();
        if free >= intended {
            return Some(intended);
        }
        sleep_until(intended).await;
        let now = Instant::now();
        Some(if now - intended < TIMER_SLACK { now } else { intended })
    }

    async fn send(&self) -> std::io::Result<u16> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(&self.request).await?,
        };
        let (status, keep) = connection.send(&self.request).await?;
        if keep {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        Ok(status)
    }

    fn with(&self, change: impl FnOnce(&mut Counted)) {
        if let Some(counted) = self.counted.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            change(counted);
        }
    }
}
