//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): parsing, and the wait of concurrent requests with the
//! same key. The engine stores the response with the start of the saga.

use super::problem::{Problem, ProblemKind};
use axum::http::{HeaderMap, HeaderName};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The header.
pub const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest key, which is an indexed column.
const MAX_KEY_CHARS: usize = 255;
/// How long a request waits for the commit of a concurrent one with the same key.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// `Retry-After` after that.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Starts in flight with a key: more than the engine's start queues hold.
const MAX_CLAIMS: usize = 100_000;

/// Parses the key.
///
/// # Errors
/// 400 if it is empty, too long, repeated, or not visible ASCII.
pub fn parse_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(&HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(invalid("must not be repeated"));
    }

    let text = value
        .to_str()
        .map_err(|_| invalid("must be visible ASCII"))?
        .trim();
    let key = match text.strip_prefix('"') {
        Some(quoted) => {
            unquote(quoted).ok_or_else(|| invalid("has an opening quote but no closing quote"))?
        }
        None => text.to_owned(),
    };

    match key.chars().count() {
        1..=MAX_KEY_CHARS => Ok(Some(key)),
        _ => Err(invalid("must have 1 to 255 characters")),
    }
}

fn invalid(detail: &str) -> Problem {
    Problem::new(ProblemKind::Malformed, format!("Idempotency-Key {detail}"))
}

/// Unescapes a structured-field string, given what follows its opening quote (RFC 9651, section 4.2.5).
fn unquote(quoted: &str) -> Option<String> {
    let mut key = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '\\' => key.push(
                chars
                    .next()
                    .filter(|escaped| matches!(escaped, '"' | '\\'))?,
            ),
            // The draft defines no parameters, so nothing may follow.
            '"' => return chars.as_str().is_empty().then_some(key),
            other => key.push(other),
        }
    }
}

/// The keys of this process's starts in flight. Across replicas the database decides.
#[derive(Debug, Default)]
pub struct KeyClaims {
    claims: Mutex<HashMap<ScopedKey, watch::Receiver<()>>>,
}

/// Caller and route, and the key.
type ScopedKey = (String, String);

/// The claim of a start in flight. Dropping it wakes the requests that wait for the key.
#[derive(Debug)]
pub struct KeyClaim {
    claims: Arc<KeyClaims>,
    key: ScopedKey,
    _released: watch::Sender<()>,
}

enum Claim {
    Acquired(KeyClaim),
    /// Another request holds the claim; the channel closes when it drops it.
    Held(watch::Receiver<()>),
}

impl KeyClaims {
    /// Claims a key, waiting while another request holds it.
    ///
    /// # Errors
    /// 409 with `Retry-After` if the key is not released within 5 s, 503 if too many keys are claimed.
    pub async fn claim(self: &Arc<Self>, scope: &str, key: &str) -> Result<KeyClaim, Problem> {
        let deadline = Instant::now() + MAX_WAIT;
        let key = (scope.to_owned(), key.to_owned());

        loop {
            let mut holder = match self.try_claim(&key)? {
                Claim::Acquired(claim) => return Ok(claim),
                Claim::Held(holder) => holder,
            };

            // The holder never sends; the channel closes when the claim is dropped.
            let released = async { while holder.changed().await.is_ok() {} };
            if tokio::time::timeout_at(deadline, released).await.is_err() {
                let detail = "a request with this Idempotency-Key is still in progress; retry to get its response";
                return Err(
                    Problem::new(ProblemKind::InProgress, detail).with_retry_after(RETRY_AFTER)
                );
            }
        }
    }

    fn try_claim(self: &Arc<Self>, key: &ScopedKey) -> Result<Claim, Problem> {
        // One lock for lookup and insertion: otherwise two requests could both find the key free.
        let mut claims = self.lock();
        if let Some(holder) = claims.get(key) {
            return Ok(Claim::Held(holder.clone()));
        }
        if claims.len() >= MAX_CLAIMS {
            let problem = Problem::new(ProblemKind::Overloaded, "too many starts are in flight");
            return Err(problem.with_retry_after(RETRY_AFTER));
        }

        let (released, holder) = watch::channel(());
        claims.insert(key.clone(), holder);
        Ok(Claim::Acquired(KeyClaim {
            claims: Arc::clone(self),
            key: key.clone(),
            _released: released,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ScopedKey, watch::Receiver<()>>> {
        self.claims.lock().expect("lock poisoned")
    }
}

impl Drop for KeyClaim {
    fn drop(&mut self) {
        // Removed before the sender is dropped, so that a woken request finds the key free.
        self.claims.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderValue, StatusCode};

    fn parse(value: &str) -> Result<Option<String>, StatusCode> {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        parse_key(&HeaderMap::from_iter([(HEADER, value)])).map_err(|problem| problem.status())
    }

    #[test]
    fn key_may_be_quoted_or_unquoted() {
        assert_eq!(parse("abc").unwrap().as_deref(), Some("abc"));
        assert_eq!(parse("\"abc\"").unwrap().as_deref(), Some("abc"));
        assert_eq!(parse(r#""a\"b\\c""#).unwrap().as_deref(), Some(r#"a"b\c"#));
        assert_eq!(parse_key(&HeaderMap::new()).unwrap(), None);

        let longest = "k".repeat(255);
        assert_eq!(parse(&longest).unwrap(), Some(longest));
        for invalid in ["", "\"\"", "\"abc", "\"a\"b", "schlüssel", &"k".repeat(256)] {
            assert_eq!(parse(invalid), Err(StatusCode::BAD_REQUEST), "{invalid}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn second_claim_waits_and_times_out_after_5_s() {
        let claims = Arc::<KeyClaims>::default();
        let first = claims.claim("s", "k").await.unwrap();
        claims.claim("s", "other").await.unwrap();
        let problem = claims.claim("s", "k").await.unwrap_err();
        assert_eq!(problem.kind(), ProblemKind::InProgress);

        let second = tokio::spawn({
            let claims = Arc::clone(&claims);
            async move { claims.claim("s", "k").await.map(drop) }
        });
        tokio::task::yield_now().await;
        drop(first);

        second.await.unwrap().unwrap();
        assert!(claims.lock().is_empty());
    }
}
