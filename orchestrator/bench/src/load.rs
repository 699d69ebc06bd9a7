//! The load: sagas are started, each by a request that is answered when the saga has ended.

use crate::connection::{Connection, Request};
use crate::latencies::Latencies;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// Limit of the starts in flight in an open loop: sockets are limited, and a server with more in flight is overloaded.
const MAX_OPEN_LOOP: u64 = 4_000;
/// An open loop has a task for each start of this many seconds.
const OPEN_LOOP_SECONDS: u64 = 5;
/// A timer of the client may fire this late. That is not latency of the server.
const TIMER_SLACK: Duration = Duration::from_micros(1500);
/// The delay after a response that started nothing, so that a failing server is not flooded.
const REJECTION_DELAY: Duration = Duration::from_millis(100);

/// How sagas are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadModel {
    /// Closed loop: this many sagas are in flight all the time.
    InFlight(u64),
    /// Open loop: this many starts a second, whether the server keeps up or not. Latency counts from the intended
    /// start.
    Rate(u64),
}

/// What was counted in the measured period.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Requests sent.
    pub started: u64,
    /// Sagas completed (201).
    pub completed: u64,
    /// Latencies of the completed sagas.
    pub latencies: Latencies,
    /// Other results, by their description.
    pub others: BTreeMap<String, u64>,
}

/// A running load.
pub struct Load {
    request: Request,
    model: LoadModel,
    started_at: Instant,
    ends_at: Instant,
    next_start: AtomicU64,
    idle_connections: Mutex<Vec<Connection>>,
    phase: AtomicU8,
    counts: Mutex<Counts>,
}

/// The phases of a run.
const WARMING_UP: u8 = 0;
const COUNTING: u8 = 1;
const DRAINING: u8 = 2;

impl Load {
    /// A load of this duration. Nothing is counted before [`Load::start_counting`].
    pub fn new(request: Request, model: LoadModel, duration: Duration) -> Arc<Self> {
        let started_at = Instant::now();
        Arc::new(Self {
            request,
            model,
            started_at,
            ends_at: started_at + duration,
            next_start: AtomicU64::new(0),
            idle_connections: Mutex::default(),
            phase: AtomicU8::new(WARMING_UP),
            counts: Mutex::default(),
        })
    }

    /// Starts sagas until the end of the duration, and waits for their responses.
    pub async fn run(self: Arc<Self>) {
        let tasks = match self.model {
            LoadModel::InFlight(sagas) => sagas,
            LoadModel::Rate(rate) => (rate * OPEN_LOOP_SECONDS).clamp(64, MAX_OPEN_LOOP),
        };

        let mut running = JoinSet::new();
        for _ in 0..tasks {
            let load = Arc::clone(&self);
            running.spawn(async move { while load.start_one().await {} });
        }
        while running.join_next().await.is_some() {}
    }

    /// Counts from now on: in a closed loop what is answered, in an open loop what is due to start, whenever it is
    /// answered. An open loop that left out the sagas in flight at its end would measure the fast ones only.
    pub fn start_counting(&self) {
        self.phase.store(COUNTING, Ordering::SeqCst);
    }

    /// Counts nothing further.
    pub fn stop_counting(&self) {
        self.phase.store(DRAINING, Ordering::SeqCst);
    }

    /// The counts so far.
    pub fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("lock poisoned")
    }

    /// Starts a saga and waits for its end; false once the duration is over.
    async fn start_one(&self) -> bool {
        let Some(latency_from) = self.next_start().await else {
            return false;
        };

        let is_counting = || self.phase.load(Ordering::SeqCst) == COUNTING;
        let counted_at_start = is_counting();
        if counted_at_start {
            self.counts().started += 1;
        }

        let result = self.send().await;
        let latency = latency_from.elapsed();
        let has_started = matches!(result, Ok(201 | 202 | 409));

        let counts = match self.model {
            LoadModel::InFlight(_) => is_counting(),
            LoadModel::Rate(_) => counted_at_start,
        };
        if counts {
            self.count(result, latency);
        }

        if !has_started {
            sleep(REJECTION_DELAY).await;
        }
        true
    }

    fn count(&self, result: io::Result<u16>, latency: Duration) {
        let mut counts = self.counts();
        let other = match result {
            Ok(201) => {
                counts.completed += 1;
                counts.latencies.record(latency);
                return;
            }
            Ok(status) => format!("answered {status}"),
            Err(error) => error.to_string(),
        };
        *counts.others.entry(other).or_default() += 1;
    }

    /// Waits until the next saga is due. Returns the time from which its latency counts.
    async fn next_start(&self) -> Option<Instant> {
        let LoadModel::Rate(rate) = self.model else {
            return Some(Instant::now()).filter(|now| *now < self.ends_at);
        };

        let number = self.next_start.fetch_add(1, Ordering::Relaxed);
        let intended = self.started_at + Duration::from_nanos(number * 1_000_000_000 / rate.max(1));
        if intended >= self.ends_at {
            return None;
        }
        if Instant::now() >= intended {
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

    async fn send(&self) -> io::Result<u16> {
        let idle = self.idle_connections.lock().expect("lock poisoned").pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(&self.request).await?,
        };

        let response = connection.send(&self.request).await?;
        if response.keep_alive {
            self.idle_connections
                .lock()
                .expect("lock poisoned")
                .push(connection);
        }
        Ok(response.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::{mpsc, watch};

    const CREATED: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";

    /// A server that reports each request and answers 201 once it is released.
    async fn blocked_server() -> (String, mpsc::Receiver<()>, watch::Sender<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!(
            "http://{}",
            listener.local_addr().expect("the listener is bound")
        );
        let (requests, received) = mpsc::channel(100);
        let (release, released) = watch::channel(false);

        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let requests = requests.clone();
                let mut released = released.clone();
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while stream.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {
                        let is_released = requests.send(()).await.is_ok()
                            && released.wait_for(|released| *released).await.is_ok();
                        if !is_released || stream.write_all(CREATED).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        (url, received, release)
    }

    #[tokio::test]
    async fn open_loop_starts_what_is_due_and_counts_slow_sagas() {
        let (url, mut received, release) = blocked_server().await;
        let request = Request::post(&url, "/sagas", "", "{}").unwrap();
        let load = Load::new(request, LoadModel::Rate(100), Duration::from_millis(100));
        load.start_counting();
        let running = tokio::spawn(Arc::clone(&load).run());

        for _ in 0..10 {
            received
                .recv()
                .await
                .expect("ten are started although none is answered");
        }
        load.stop_counting();
        release.send(true).unwrap();
        running.await.unwrap();

        let counts = load.counts().clone();
        assert_eq!((counts.started, counts.completed), (10, 10));
        assert!(counts.others.is_empty(), "{counts:?}");
    }

    #[tokio::test]
    async fn closed_loop_keeps_its_number_in_flight() {
        let (url, mut received, release) = blocked_server().await;
        let request = Request::post(&url, "/sagas", "", "{}").unwrap();
        let load = Load::new(request, LoadModel::InFlight(3), Duration::from_millis(50));
        load.start_counting();
        let running = tokio::spawn(Arc::clone(&load).run());

        for _ in 0..3 {
            received.recv().await.expect("three are started");
        }
        assert_eq!(load.counts().started, 3);
        assert!(
            received.try_recv().is_err(),
            "a fourth start waits for a response"
        );

        release.send(true).unwrap();
        let drained = tokio::spawn(async move { while received.recv().await.is_some() {} });
        running.await.unwrap();
        drained.abort();

        let counts = load.counts().clone();
        assert_eq!(counts.started, counts.completed);
    }
}
