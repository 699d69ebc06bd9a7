//! Whether Kafka answers, and what librdkafka logs.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

/// Whether the brokers answer, as far as any client of the process knows. Changes are logged once.
#[derive(Debug)]
pub struct BrokerHealth {
    brokers: String,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// No client has received an answer yet.
    Unknown,
    Available(Instant),
    Unavailable(String),
}

impl BrokerHealth {
    /// Starts in the state "unknown".
    pub fn new(brokers: &str) -> Arc<Self> {
        Arc::new(Self {
            brokers: brokers.to_owned(),
            state: Mutex::new(State::Unknown),
        })
    }

    /// Records that the brokers do not answer.
    pub fn mark_unavailable(&self, reason: &dyn fmt::Display) {
        let mut state = self.state();
        let is_new = !matches!(*state, State::Unavailable(_));
        let message = format!("Kafka at {} does not answer: {reason}", self.brokers);

        // librdkafka retries several times a second and reports each failure.
        if is_new {
            tracing::warn!(brokers = %self.brokers, error = %reason, "{message}, retrying");
        }
        *state = State::Unavailable(message);
    }

    /// Records that the brokers answer.
    pub fn mark_available(&self) {
        let mut state = self.state();
        if matches!(*state, State::Available(_)) {
            return;
        }

        *state = State::Available(Instant::now());
        drop(state);
        tracing::info!(brokers = %self.brokers, "Kafka at {} answers", self.brokers);
    }

    /// Since when the brokers answer.
    ///
    /// # Errors
    /// The reason why they are unavailable.
    pub fn available_since(&self) -> Result<Instant, String> {
        match &*self.state() {
            State::Available(since) => Ok(*since),
            State::Unavailable(reason) => Err(reason.clone()),
            State::Unknown => Err(format!("Kafka at {} has not answered yet", self.brokers)),
        }
    }

    /// Takes note of an error that concerns a whole client.
    pub(crate) fn client_error(&self, error: &KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(Code::AllBrokersDown | Code::Authentication | Code::Resolve) => {
                self.mark_unavailable(&reason);
            }
            _ => tracing::debug!(%error, reason, "Kafka client reported an error"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("lock poisoned")
    }
}

/// Forwards a log line of librdkafka. Lost connections are logged by [`BrokerHealth`] instead, once per outage.
pub(crate) fn forward_log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    let is_connection = matches!(facility, "FAIL" | "ERROR" | "REQTMOUT");
    let is_verbose = matches!(
        level,
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug
    );

    if is_connection || is_verbose {
        tracing::debug!(target: "librdkafka", facility, "{message}");
    } else {
        tracing::warn!(target: "librdkafka", facility, "{message}");
    }
}

/// The context of clients without callbacks of their own.
#[derive(Clone, Debug)]
pub(crate) struct HealthContext(pub Arc<BrokerHealth>);

impl ClientContext for HealthContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        forward_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.client_error(&error, reason);
    }
}

impl ConsumerContext for HealthContext {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_follows_the_last_report() {
        let health = BrokerHealth::new("b:1");
        assert!(
            health
                .available_since()
                .is_err_and(|reason| reason.contains("not answered yet"))
        );

        health.mark_available();
        let since = health.available_since().unwrap();
        health.mark_available();
        assert_eq!(
            health.available_since(),
            Ok(since),
            "a repetition changes nothing"
        );

        health.mark_unavailable(&"connection refused");
        assert!(
            health
                .available_since()
                .is_err_and(|reason| reason.ends_with("does not answer: connection refused"))
        );
    }
}
