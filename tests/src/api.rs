//! What a client of the orchestrator does.

use crate::SOON;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Between two looks at a saga. The one place where these tests wait by the clock: what they wait for is another
/// process.
const LOOK: Duration = Duration::from_millis(15);

/// One orchestrator, over HTTP.
#[derive(Clone)]
pub struct Api {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    http: reqwest::Client,
}

/// A valid order; the token says how its payment goes.
pub fn order(token: &str) -> Value {
    json!({
        "customer": "c-1", "store": "s-1", "fulfilment": "delivery",
        "items": [{"menu": "big mac", "quantity": 2, "price": 550}],
        "payment": {"method": "card", "token": token},
    })
}

impl Api {
    /// The orchestrator at that port.
    ///
    /// # Panics
    /// If no HTTP client can be made.
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

    /// Waits until it answers that it is ready.
    ///
    /// # Panics
    /// If it is not within [`SOON`].
    pub async fn ready(&self) {
        let began = Instant::now();
        loop {
            if self
                .get("/readyz")
                .await
                .is_ok_and(|answer| answer.status().is_success())
            {
                return;
            }
            assert!(
                began.elapsed() < SOON,
                "{} is not ready within {SOON:?}",
                self.url
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until so many members of workers are there.
    ///
    /// # Panics
    /// If they are not within [`SOON`].
    pub async fn members(&self, count: usize) {
        let began = Instant::now();
        loop {
            let mut there = 0;
            if let Ok(answer) = self.get("/workers").await
                && let Ok(workers) = answer.json::<Value>().await
            {
                let members = |worker: &Value| worker["members"].as_array().map_or(0, Vec::len);
                there = workers["workers"]
                    .as_array()
                    .map_or(0, |workers| workers.iter().map(members).sum());
            }
            if there >= count {
                return;
            }
            assert!(
                began.elapsed() < SOON,
                "{there} members of {count} are there within {SOON:?}"
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// GET.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn get(&self, path: &str) -> reqwest::Result<Response> {
        self.http.get(format!("{}{path}", self.url)).send().await
    }

    /// POST with JSON and headers.
    ///
    /// # Errors
    /// If there is no answer.
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

    /// Places an order, and says its id.
    ///
    /// # Panics
    /// If it is not accepted.
    pub async fn place(&self, token: &str) -> String {
        let answer = self
            .post("/orders", &order(token), &[])
            .await
            .expect("an answer");
        assert_eq!(
            answer.status(),
            StatusCode::ACCEPTED,
            "{:?}",
            answer.text().await
        );
        let body: Value = answer.json().await.expect("an order");
        body["id"].as_str().expect("an id").to_owned()
    }

    /// Cancels an order: the status of the answer.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn cancel(&self, id: &str) -> reqwest::Result<StatusCode> {
        let body = json!({"reason": "the customer changed their mind"});
        Ok(self
            .post(&format!("/orders/{id}/cancel"), &body, &[])
            .await?
            .status())
    }

    /// The saga, if there is an answer.
    pub async fn saga(&self, id: &str) -> Option<Value> {
        let answer = self.get(&format!("/sagas/{id}")).await.ok()?;
        if answer.status() == StatusCode::OK {
            answer.json().await.ok()
        } else {
            None
        }
    }

    /// Waits until the saga is where `reached` says; through restarts of the orchestrator.
    ///
    /// # Panics
    /// If it is not within [`SOON`].
    pub async fn until(&self, id: &str, what: &str, reached: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let saga = self.saga(id).await;
            if let Some(saga) = saga.as_ref().filter(|saga| reached(saga)) {
                return saga.clone();
            }
            assert!(
                began.elapsed() < SOON,
                "saga {id} is not {what} within {SOON:?}: {saga:#?}"
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the saga has that status.
    pub async fn until_status(&self, id: &str, status: &str) -> Value {
        self.until(id, status, |saga| saga["status"] == status)
            .await
    }

    /// Waits until the saga is completed or compensated.
    pub async fn until_finished(&self, id: &str) -> Value {
        self.until(id, "finished", |saga| {
            saga["status"] == "completed" || saga["status"] == "compensated"
        })
        .await
    }

    /// Waits until a step has that status.
    pub async fn until_step(&self, id: &str, step: &str, status: &str) -> Value {
        self.until(id, &format!("{status} at {step}"), |saga| {
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
