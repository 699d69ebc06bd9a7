//! HTTP client of the orchestrator.

use crate::WAIT_TIMEOUT;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Pause between two polls. The only place where these tests sleep: the awaited state is in another process.
const POLL_INTERVAL: Duration = Duration::from_millis(15);

/// Client of one orchestrator.
#[derive(Clone)]
pub struct ApiClient {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    http: reqwest::Client,
}

/// A valid order. The token selects how the simulated gateway answers.
pub fn order(token: &str) -> Value {
    json!({
        "customer": "c-1", "store": "s-1", "fulfilment": "delivery",
        "items": [{"menu": "big mac", "quantity": 2, "price": 550}],
        "payment": {"method": "card", "token": token},
    })
}

impl ApiClient {
    /// A client for the orchestrator at a port.
    ///
    /// # Panics
    /// If the HTTP client cannot be built.
    pub fn new(port: u16) -> Self {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(40))
            .no_proxy()
            .build();
        Self {
            url: format!("http://127.0.0.1:{port}"),
            http: http.expect("a client"),
        }
    }

    /// Waits until `/readyz` succeeds.
    ///
    /// # Panics
    /// If that takes longer than [`WAIT_TIMEOUT`].
    pub async fn wait_until_ready(&self) {
        let started_at = Instant::now();
        loop {
            if self
                .get("/readyz")
                .await
                .is_ok_and(|response| response.status().is_success())
            {
                return;
            }
            assert!(
                started_at.elapsed() < WAIT_TIMEOUT,
                "{} is not ready after {WAIT_TIMEOUT:?}",
                self.url
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until `/workers` lists that many members.
    ///
    /// # Panics
    /// If that takes longer than [`WAIT_TIMEOUT`].
    pub async fn wait_for_members(&self, count: usize) {
        let started_at = Instant::now();
        loop {
            let mut count_seen = 0;
            if let Ok(response) = self.get("/workers").await
                && let Ok(workers) = response.json::<Value>().await
            {
                let members = |worker: &Value| worker["members"].as_array().map_or(0, Vec::len);
                count_seen = workers["workers"]
                    .as_array()
                    .map_or(0, |workers| workers.iter().map(members).sum());
            }
            if count_seen >= count {
                return;
            }
            assert!(
                started_at.elapsed() < WAIT_TIMEOUT,
                "{count_seen} of {count} members after {WAIT_TIMEOUT:?}"
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Sends a GET.
    ///
    /// # Errors
    /// If the server does not respond.
    pub async fn get(&self, path: &str) -> reqwest::Result<Response> {
        self.http.get(format!("{}{path}", self.url)).send().await
    }

    /// Sends a POST with a JSON body.
    ///
    /// # Errors
    /// If the server does not respond.
    pub async fn post(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> reqwest::Result<Response> {
        let mut request = self.http.post(format!("{}{path}", self.url)).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await
    }

    /// Places an order and returns its id.
    ///
    /// # Panics
    /// If the order is not accepted.
    pub async fn place_order(&self, token: &str) -> String {
        let response = self
            .post("/orders", &order(token), &[])
            .await
            .expect("the server responds");
        assert_eq!(
            response.status(),
            StatusCode::ACCEPTED,
            "{:?}",
            response.text().await
        );
        let body: Value = response.json().await.expect("an order");
        body["id"].as_str().expect("an id").to_owned()
    }

    /// Cancels an order and returns the HTTP status.
    ///
    /// # Errors
    /// If the server does not respond.
    pub async fn cancel_order(&self, id: &str) -> reqwest::Result<StatusCode> {
        let body = json!({"reason": "the customer changed their mind"});
        Ok(self
            .post(&format!("/orders/{id}/cancel"), &body, &[])
            .await?
            .status())
    }

    /// The saga, if the server responds.
    pub async fn saga(&self, id: &str) -> Option<Value> {
        let response = self.get(&format!("/sagas/{id}")).await.ok()?;
        if response.status() == StatusCode::OK {
            response.json().await.ok()
        } else {
            None
        }
    }

    /// Waits until the saga satisfies `reached`, across restarts of the orchestrator.
    ///
    /// # Panics
    /// If that takes longer than [`WAIT_TIMEOUT`].
    pub async fn wait_for(
        &self,
        id: &str,
        description: &str,
        reached: impl Fn(&Value) -> bool,
    ) -> Value {
        let started_at = Instant::now();
        loop {
            let saga = self.saga(id).await;
            if let Some(saga) = saga.as_ref().filter(|saga| reached(saga)) {
                return saga.clone();
            }
            assert!(
                started_at.elapsed() < WAIT_TIMEOUT,
                "saga {id} is not {description} after {WAIT_TIMEOUT:?}: {saga:#?}"
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until the saga has that status.
    pub async fn wait_for_status(&self, id: &str, status: &str) -> Value {
        self.wait_for(id, status, |saga| saga["status"] == status)
            .await
    }

    /// Waits until the saga is completed or compensated.
    pub async fn wait_until_finished(&self, id: &str) -> Value {
        self.wait_for(id, "finished", |saga| {
            saga["status"] == "completed" || saga["status"] == "compensated"
        })
        .await
    }

    /// Waits until a step has that status.
    pub async fn wait_for_step(&self, id: &str, step: &str, status: &str) -> Value {
        self.wait_for(id, &format!("{status} at {step}"), |saga| {
            step_status(saga, step) == status
        })
        .await
    }
}

/// The status of a step in a saga's JSON.
pub fn step_status<'a>(saga: &'a Value, step: &str) -> &'a str {
    let steps = saga["steps"].as_array().map_or(&[][..], Vec::as_slice);
    steps
        .iter()
        .find(|candidate| candidate["name"] == step)
        .and_then(|step| step["status"].as_str())
        .unwrap_or("")
}
