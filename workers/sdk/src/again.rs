//! Trying I/O again until it works: the one place of this crate that waits out an outage.
//!
//! For what has no other way on: connecting, migrating, making topics, committing a batch whose database is gone. A
//! step's own retries are the orchestrator's business, never done here.

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};
use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Short enough that an outage of a moment is over in a moment.
const FIRST: Duration = Duration::from_millis(50);
/// Long enough that what comes up is not trampled, short enough that nobody waits for the worker to notice.
const LONGEST: Duration = Duration::from_secs(5);

/// A schedule without an end: whoever uses it watches the shutdown.
fn schedule() -> ExponentialBackoff {
    ExponentialBackoffBuilder::new()
        .with_initial_interval(FIRST)
        .with_max_interval(LONGEST)
        .with_max_elapsed_time(None)
        .build()
}

/// Tries until it works (`Some`) or the shutdown comes (`None`). Each failure is told in a sentence. `mendable` says of
/// an error whether another try may end otherwise; one that is not is returned.
///
/// # Errors
/// The first error that is not mendable.
pub async fn again<T, E, F>(
    what: &str,
    shutdown: &CancellationToken,
    mendable: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> F,
) -> Result<Option<T>, E>
where
    E: Error,
    F: Future<Output = Result<T, E>>,
{
    let mut schedule = schedule();
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(Some(value)),
            Err(error) if mendable(&error) => error,
            Err(error) => return Err(error),
        };
        let wait = schedule.next_backoff().unwrap_or(LONGEST);
        tracing::warn!(
            "could not {what}: {}; trying again in {wait:.1?}",
            causes(&error)
        );
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.cancelled() => return Ok(None),
        }
    }
}

/// An error and all that caused it, in one line.
pub fn causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !line.contains(&said) {
            let _ = write!(line, ": {said}");
        }
        source = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn broken() -> io::Error {
        io::Error::other("the network is gone")
    }

    #[tokio::test(start_paused = true)]
    async fn it_tries_until_it_works() {
        let mut tries = 0;
        let shutdown = CancellationToken::new();
        let value = again(
            "connect",
            &shutdown,
            |_| true,
            || {
                tries += 1;
                std::future::ready(if tries < 8 { Err(broken()) } else { Ok(tries) })
            },
        );
        assert_eq!(value.await.expect("all errors are mendable"), Some(8));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_ends_it() {
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        let value = again(
            "connect",
            &shutdown,
            |_| true,
            || std::future::ready(Err::<(), _>(broken())),
        )
        .await;
        assert_eq!(value.expect("all errors are mendable"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_try_mends_is_returned() {
        let shutdown = CancellationToken::new();
        let value = again(
            "connect",
            &shutdown,
            |_| false,
            || std::future::ready(Err::<(), _>(broken())),
        )
        .await;
        assert!(value.is_err());
    }
}
