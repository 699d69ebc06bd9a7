//! Retries I/O until the other side is available again.
//!
//! For operations that have no other way to proceed: connecting, migrating, creating topics, committing a batch whose
//! database is unavailable. The attempts of a step are scheduled by the orchestrator, never here.

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;
use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The first delay. A lost connection is often restored within it.
const INITIAL_DELAY: Duration = Duration::from_millis(50);
/// The delay stops growing here, so a recovery is noticed within a few seconds.
const MAX_DELAY: Duration = Duration::from_secs(5);

/// The delays between the attempts of one outage: exponential, with jitter so that replicas do not retry in step.
pub struct Backoff(ExponentialBackoff);

impl Default for Backoff {
    fn default() -> Self {
        Self(ExponentialBackoff {
            current_interval: INITIAL_DELAY,
            initial_interval: INITIAL_DELAY,
            max_interval: MAX_DELAY,
            multiplier: 2.0,
            // It never gives up: the caller decides when to stop.
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        })
    }
}

impl Backoff {
    /// The delay before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(MAX_DELAY)
    }

    /// Starts again at the first delay. To be called after a success.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

/// Repeats `attempt` until it succeeds (`Some`) or `shutdown` is cancelled (`None`). Each failure is logged as
/// "failed to {operation}".
///
/// # Errors
/// The first error that `is_retryable` rejects.
pub async fn retry<T, E, F>(
    operation: &str,
    shutdown: &CancellationToken,
    is_retryable: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> F,
) -> Result<Option<T>, E>
where
    E: Error,
    F: Future<Output = Result<T, E>>,
{
    let mut backoff = Backoff::default();

    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(Some(value)),
            Err(error) if is_retryable(&error) => error,
            Err(error) => return Err(error),
        };

        let delay = backoff.next_delay();
        tracing::warn!(
            error = error_chain(&error),
            "failed to {operation}, retrying in {delay:.1?}"
        );

        // The outage may outlive the process: a shutdown must not wait for its end.
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = shutdown.cancelled() => return Ok(None),
        }
    }
}

/// An error followed by its causes, in one line. A cause that the line already contains is left out.
pub fn error_chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();

    while let Some(cause) = source {
        let message = cause.to_string();
        if !line.contains(&message) {
            let _ = write!(line, ": {message}");
        }
        source = cause.source();
    }

    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::ready;
    use std::io;

    fn connection_error() -> io::Error {
        io::Error::other("connection refused")
    }

    #[test]
    fn backoff_grows_to_its_limit_and_resets() {
        let mut backoff = Backoff::default();
        let first = backoff.next_delay();
        assert!(first <= INITIAL_DELAY * 2, "{first:?}");

        let last = (0..100).map(|_| backoff.next_delay()).last().unwrap();
        assert!(last >= MAX_DELAY / 2 && last <= MAX_DELAY * 2, "{last:?}");

        backoff.reset();
        assert!(backoff.next_delay() <= INITIAL_DELAY * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn retry_repeats_until_success() {
        let mut attempts = 0;
        let shutdown = CancellationToken::new();

        let value = retry(
            "connect",
            &shutdown,
            |_| true,
            || {
                attempts += 1;
                ready(if attempts < 8 {
                    Err(connection_error())
                } else {
                    Ok(attempts)
                })
            },
        )
        .await;

        assert_eq!(value.expect("every error is retryable"), Some(8));
    }

    #[tokio::test(start_paused = true)]
    async fn retry_ends_on_shutdown() {
        let shutdown = CancellationToken::new();
        shutdown.cancel();

        let value = retry(
            "connect",
            &shutdown,
            |_| true,
            || ready(Err::<(), _>(connection_error())),
        )
        .await;

        assert_eq!(value.expect("every error is retryable"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn retry_returns_an_error_that_is_not_retryable() {
        let shutdown = CancellationToken::new();

        let value = retry(
            "connect",
            &shutdown,
            |_| false,
            || ready(Err::<(), _>(connection_error())),
        )
        .await;

        assert!(value.is_err());
    }
}
