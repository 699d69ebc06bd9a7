//! A server that says what it is told to, and remembers what it was asked.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `POST /sagas?x=y`.
    pub line: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: String,
}

/// The server.
#[derive(Clone, Default)]
pub struct Fake {
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    url: String,
}

impl Fake {
    /// Answers those, one after the other, then 500. It is always ready, and has nothing to measure.
    pub async fn answering(answers: &[(u16, &str)]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("there is a free port");
        let fake = Self {
            answers: Arc::new(Mutex::new(
                answers
                    .iter()
                    .map(|(status, body)| (*status, (*body).to_owned()))
                    .collect(),
            )),
            asked: Arc::default(),
            url: format!("http://{}", listener.local_addr().expect("it is bound")),
        };
        let router = Router::new().fallback(answer).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.expect("it is served") });
        fake
    }

    /// What it was asked.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no holder panics").clone()
    }

    /// Runs the program against it.
    pub async fn run(&self, arguments: &[&str]) -> super::program::Ran {
        let mut command = tokio::process::Command::from(super::program::program(arguments));
        command
            .env("SAGA_SERVER", &self.url)
            .output()
            .await
            .expect("the program can be run")
            .into()
    }
}

async fn answer(State(fake): State<Fake>, method: Method, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1_000_000)
        .await
        .expect("the body comes");
    let body = String::from_utf8(body.to_vec()).expect("the body is text");
    let line = format!("{method} {}", parts.uri);
    if matches!(parts.uri.path(), "/readyz" | "/metrics") {
        return StatusCode::OK.into_response();
    }
    fake.asked.lock().expect("no holder panics").push(Asked {
        line,
        headers: parts.headers,
        body,
    });
    let (status, body) = fake
        .answers
        .lock()
        .expect("no holder panics")
        .pop_front()
        .unwrap_or((500, "{}".to_owned()));
    (
        StatusCode::from_u16(status).expect("the test gives a status"),
        body,
    )
        .into_response()
}
