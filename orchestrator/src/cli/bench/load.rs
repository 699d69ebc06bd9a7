//! The load: sagas are started, each by one request that is answered when it has ended.

use super::connection::{Connection, Request};
use super::latencies::Latencies;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    phase: AtomicU8,
    counted: Mutex<Counted>,
}

/// Before, while, and after counting.
const WARMING_UP: u8 = 0;
const COUNTING: u8 = 1;
const DRAINING: u8 = 2;

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
            phase: AtomicU8::new(WARMING_UP),
            counted: Mutex::default(),
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

    /// Counts from now on: in a closed loop what is answered, in an open one what is due to start, whenever it is
    /// answered. Were the slow ones left out that are still under way at the end, an open loop would measure the fast.
    pub fn count(&self) {
        self.phase.store(COUNTING, Ordering::SeqCst);
    }

    /// Counts nothing further.
    pub fn stop_counting(&self) {
        self.phase.store(DRAINING, Ordering::SeqCst);
    }

    /// What was counted.
    pub fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One saga; false at the end.
    async fn one(&self) -> bool {
        let Some(from) = self.turn().await else {
            return false;
        };
        let counting = || self.phase.load(Ordering::SeqCst) == COUNTING;
        let counted_at_start = counting();
        if counted_at_start {
            self.counted().started += 1;
        }
        let answer = self.send().await;
        let took = from.elapsed();
        let refused = !matches!(answer, Ok(201 | 202 | 409));
        let counts = match self.pace {
            Pace::InFlight(_) => counting(),
            Pace::Rate(_) => counted_at_start,
        };
        if counts {
            self.answered(answer, took);
        }
        if refused {
            sleep(AFTER_REFUSAL).await;
        }
        true
    }

    fn answered(&self, answer: std::io::Result<u16>, took: Duration) {
        let mut counted = self.counted();
        match answer {
            Ok(201) => {
                counted.completed += 1;
                counted.latencies.record(took);
            }
            Ok(status) => {
                *counted
                    .others
                    .entry(format!("answered {status}"))
                    .or_default() += 1
            }
            Err(error) => *counted.others.entry(error.to_string()).or_default() += 1,
        }
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
        Some(if now - intended < TIMER_SLACK {
            now
        } else {
            intended
        })
    }

    async fn send(&self) -> std::io::Result<u16> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(&self.request).await?,
        };
        let (status, keep) = connection.send(&self.request).await?;
        if keep {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
        Ok(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::{mpsc, watch};

    /// A server that answers 201 once it is let; it tells each request that comes.
    async fn held() -> (String, mpsc::Receiver<()>, watch::Sender<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("there is a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let (came, comes) = mpsc::channel(100);
        let (let_go, wait) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (came, mut wait) = (came.clone(), wait.clone());
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while stream.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {
                        let told =
                            came.send(()).await.is_ok() && wait.wait_for(|go| *go).await.is_ok();
                        if !told
                            || stream
                                .write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
                                .await
                                .is_err()
                        {
                            return;
                        }
                    }
                });
            }
        });
        (url, comes, let_go)
    }

    #[tokio::test]
    async fn an_open_loop_starts_what_is_due_whatever_becomes_of_it_and_counts_the_slow_ones() {
        let (url, mut comes, let_go) = held().await;
        let request = Request::post(&url, "/sagas", "", "{}").unwrap();
        let load = Load::new(request, Pace::Rate(100), Duration::from_millis(100));
        load.count();
        let running = tokio::spawn(Arc::clone(&load).run());
        for _ in 0..10 {
            comes
                .recv()
                .await
                .expect("ten are started, though none is answered");
        }
        load.stop_counting();
        let_go.send(true).unwrap();
        running.await.unwrap();
        let counted = load.counted().clone();
        assert_eq!((counted.started, counted.completed), (10, 10));
        assert!(counted.others.is_empty(), "{counted:?}");
    }

    #[tokio::test]
    async fn a_closed_loop_keeps_so_many_under_way_and_no_more() {
        let (url, mut comes, let_go) = held().await;
        let request = Request::post(&url, "/sagas", "", "{}").unwrap();
        let load = Load::new(request, Pace::InFlight(3), Duration::from_millis(50));
        load.count();
        let running = tokio::spawn(Arc::clone(&load).run());
        for _ in 0..3 {
            comes.recv().await.expect("three are started");
        }
        assert_eq!(load.counted().started, 3);
        assert!(comes.try_recv().is_err(), "a fourth waits for an answer");
        let_go.send(true).unwrap();
        let drained = tokio::spawn(async move { while comes.recv().await.is_some() {} });
        running.await.unwrap();
        drained.abort();
        let counted = load.counted().clone();
        assert_eq!(counted.started, counted.completed);
    }
}
