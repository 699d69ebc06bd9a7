//! Whether Kafka answers, said once a change; and librdkafka's log lines.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

/// Whether Kafka answers, as far as any client of a process knows.
#[derive(Debug)]
pub struct Link {
    brokers: String,
    state: Mutex<State>,
}

/// Since when Kafka answers, or why it does not. Until the first answer it is not known to.
type State = Result<Instant, String>;

impl Link {
    /// It has not answered yet.
    pub fn new(brokers: &str) -> Arc<Self> {
        let state = Mutex::new(Err(format!("Kafka at {brokers} has not answered yet")));
        Arc::new(Self {
            brokers: brokers.to_owned(),
            state,
        })
    }

    /// It does not answer.
    pub fn down(&self, why: &dyn std::fmt::Display) {
        let mut state = self.lock();
        if state
            .as_ref()
            .err()
            .is_none_or(|said| said.ends_with("yet"))
        {
            let brokers = &self.brokers;
            tracing::warn!(%brokers, %why, "Kafka at {brokers} does not answer: {why}; trying on");
        }
        *state = Err(format!("Kafka at {} does not answer: {why}", self.brokers));
    }

    /// It answers.
    pub fn up(&self) {
        let mut state = self.lock();
        if state.is_err() {
            *state = Ok(Instant::now());
            drop(state);
            tracing::info!(brokers = %self.brokers, "Kafka at {} answers", self.brokers);
        }
    }

    /// Since when it answers.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

/// What a client does with librdkafka's words if it needs nothing else of it.
#[derive(Clone, Debug)]
pub struct Client(pub Arc<Link>);

impl ClientContext for Client {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        note_error(&self.0, &error, reason);
    }
}

impl ConsumerContext for Client {}

/// Passes a line of librdkafka's on. What tells of lost connections [`Link`] says better, and only once.
pub fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    let of_connections = matches!(facility, "FAIL" | "ERROR" | "REQTMOUT");
    let only_said = matches!(
        level,
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug
    );
    if of_connections || only_said {
        tracing::debug!(target: "librdkafka", facility, "{message}");
    } else {
        tracing::warn!(target: "librdkafka", facility, "{message}");
    }
}

/// Takes note of an error that concerns a whole client.
pub fn note_error(link: &Link, error: &KafkaError, reason: &str) {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::Resolve,
        ) => {
            link.down(&reason);
        }
        _ => tracing::debug!(%error, reason, "an error of a Kafka client"),
    }
}
