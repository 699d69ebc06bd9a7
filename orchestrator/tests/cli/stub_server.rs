//! An HTTP server that returns given responses and records the requests.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// A request that the server received.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// Method and URI, for example `POST /sagas?x=y`.
    pub request_line: String,
    pub headers: HeaderMap,
    pub body: String,
}

/// The server; it runs until the test ends.
#[derive(Clone, Default)]
pub struct StubServer {
    responses: Arc<Mutex<VecDeque<(u16, String)>>>,
    requests: Arc<Mutex<Vec<RecordedRequest>>>,
    url: String,
}

impl StubServer {
    /// Returns the given responses in order, then 500. `/readyz` and `/metrics` always return 200, with an empty body.
    pub async fn with_responses(responses: &[(u16, &str)]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("failed to bind a port");
        let server = Self {
            responses: Arc::new(Mutex::new(
                responses
                    .iter()
                    .map(|(status, body)| (*status, (*body).to_owned()))
                    .collect(),
            )),
            requests: Arc::default(),
            url: format!(
                "http://{}",
                listener.local_addr().expect("the listener has no address")
            ),
        };

        let router = Router::new().fallback(respond).with_state(server.clone());
        tokio::spawn(async move {
            axum::serve(listener, router)
                .await
                .expect("the server failed")
        });
        server
    }

    /// The requests so far, except those to `/readyz` and `/metrics`.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.requests.lock().expect("lock poisoned").clone()
    }

    /// Runs the program as a client of this server.
    pub async fn run(&self, arguments: &[&str]) -> super::program::ProgramOutput {
        let mut command = tokio::process::Command::from(super::program::program(arguments));
        command
            .env("SAGA_SERVER", &self.url)
            .output()
            .await
            .expect("failed to run the program")
            .into()
    }
}

async fn respond(State(server): State<StubServer>, method: Method, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1_000_000)
        .await
        .expect("failed to read the body");
    let body = String::from_utf8(body.to_vec()).expect("the body is not UTF-8");
    let request_line = format!("{method} {}", parts.uri);
    if matches!(parts.uri.path(), "/readyz" | "/metrics") {
        return StatusCode::OK.into_response();
    }
    server
        .requests
        .lock()
        .expect("lock poisoned")
        .push(RecordedRequest {
            request_line,
            headers: parts.headers,
            body,
        });
    let (status, body) = server
        .responses
        .lock()
        .expect("lock poisoned")
        .pop_front()
        .unwrap_or((500, "{}".to_owned()));
    (
        StatusCode::from_u16(status).expect("the status is not valid"),
        body,
    )
        .into_response()
}
