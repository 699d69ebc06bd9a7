//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): reading it, and making a second request wait for
//! the first. What was answered is kept with the saga's start, by the engine.

use super::problem::{Kind, Problem};
use axum::http::{HeaderMap, HeaderName};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The header.
pub const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest key; it is a column of an index.
const KEY_CHARS_MOST: usize = 255;
/// How long the second request waits for the first to be committed.
const WAIT_MOST: Duration = Duration::from_secs(5);
/// When to come again after that.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Keys of starts not yet committed: more than the engine's own admission limit lets wait.
const IN_FLIGHT_MOST: usize = 100_000;

/// The key that the headers carry.
///
/// # Errors
/// 400 if it is empty, too long, sent twice, or not visible ASCII.
pub fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut lines = headers.get_all(&HEADER).iter();
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    let bad = |what: &str| Problem::new(Kind::Malformed, format!("Idempotency-Key {what}"));
    if lines.next().is_some() {
        return Err(bad("was sent more than once"));
    }
    let text = line
        .to_str()
        .map_err(|_| bad("must be visible ASCII"))?
        .trim();
    let key = match text.strip_prefix('"') {
        Some(quoted) => {
            unquote(quoted).ok_or_else(|| bad("has an opening quote and no closing one"))?
        }
        None => text.to_owned(),
    };
    match key.chars().count() {
        1..=KEY_CHARS_MOST => Ok(Some(key)),
        _ => Err(bad("must have 1 to 255 characters")),
    }
}

/// What follows the opening quote of a structured-field string, without its escapes (RFC 9651, section 4.2.5).
fn unquote(quoted: &str) -> Option<String> {
    let mut key = String::new();
    let mut rest = quoted.chars();
    loop {
        match rest.next()? {
            '\\' => key.push(
                rest.next()
                    .filter(|escaped| matches!(escaped, '"' | '\\'))?,
            ),
            // Parameters may follow; none is defined.
            '"' => return rest.as_str().is_empty().then_some(key),
            other => key.push(other),
        }
    }
}

/// Scope and key.
type Claim = (String, String);

/// Starts with a key that are on their way to be committed in this process. Across replicas the database decides.
#[derive(Debug, Default)]
pub struct InFlight {
    claims: Mutex<HashMap<Claim, watch::Receiver<()>>>,
}

/// Held while a start is on its way; those who wait for it go on when this is dropped.
#[derive(Debug)]
pub struct Claimed {
    all: Arc<InFlight>,
    claim: Claim,
    _done: watch::Sender<()>,
}

impl InFlight {
    /// Takes the claim, as soon as nobody else holds it.
    ///
    /// # Errors
    /// 409 with `Retry-After` if the other is not committed within 5 s; 503 if far too many are on their way.
    pub async fn claim(self: &Arc<Self>, scope: &str, key: &str) -> Result<Claimed, Problem> {
        let until = Instant::now() + WAIT_MOST;
        let claim = (scope.to_owned(), key.to_owned());
        loop {
            let mut other = match self.try_claim(&claim)? {
                Ok(claimed) => return Ok(claimed),
                Err(other) => other,
            };
            // It never sends: it ends when its holder does.
            if tokio::time::timeout_at(until, async { while other.changed().await.is_ok() {} })
                .await
                .is_err()
            {
                let detail = "another request with this Idempotency-Key is not finished yet; ask again for its answer";
                return Err(Problem::new(Kind::InProgress, detail).retry_after(RETRY_AFTER));
            }
        }
    }

    fn try_claim(
        self: &Arc<Self>,
        claim: &Claim,
    ) -> Result<Result<Claimed, watch::Receiver<()>>, Problem> {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = claims.get(claim) {
            return Ok(Err(other.clone()));
        }
        if claims.len() >= IN_FLIGHT_MOST {
            return Err(
                Problem::new(Kind::Overloaded, "too many starts are on their way")
                    .retry_after(RETRY_AFTER),
            );
        }
        let (done, waits) = watch::channel(());
        claims.insert(claim.clone(), waits);
        Ok(Ok(Claimed {
            all: Arc::clone(self),
            claim: claim.clone(),
            _done: done,
        }))
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        // Removed before the sender goes: whoever wakes finds the place free.
        self.all
            .claims
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.claim);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderValue, StatusCode};

    fn key(line: &str) -> Result<Option<String>, StatusCode> {
        let headers =
            HeaderMap::from_iter([(HEADER, HeaderValue::from_bytes(line.as_bytes()).unwrap())]);
        key_of(&headers).map_err(|problem| problem.status())
    }

    #[test]
    fn a_key_is_taken_quoted_and_unquoted() {
        assert_eq!(key("abc").unwrap().as_deref(), Some("abc"));
        assert_eq!(key("\"abc\"").unwrap().as_deref(), Some("abc"));
        assert_eq!(key(r#""a\"b\\c""#).unwrap().as_deref(), Some(r#"a"b\c"#));
        assert_eq!(key_of(&HeaderMap::new()).unwrap(), None);
        let longest = "k".repeat(255);
        assert_eq!(key(&longest).unwrap(), Some(longest));
        for bad in ["", "\"\"", "\"abc", "\"a\"b", "schlüssel", &"k".repeat(256)] {
            assert_eq!(key(bad), Err(StatusCode::BAD_REQUEST), "{bad}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_waits_for_the_first_and_gives_up_after_five_seconds() {
        let all = Arc::<InFlight>::default();
        let first = all.claim("s", "k").await.unwrap();
        all.claim("s", "other").await.unwrap();
        let problem = all.claim("s", "k").await.unwrap_err();
        assert_eq!(problem.kind(), Kind::InProgress);

        let second = tokio::spawn({
            let all = Arc::clone(&all);
            async move { all.claim("s", "k").await.map(drop) }
        });
        tokio::task::yield_now().await;
        drop(first);
        second.await.unwrap().unwrap();
        assert!(all.claims.lock().unwrap().is_empty());
    }
}
