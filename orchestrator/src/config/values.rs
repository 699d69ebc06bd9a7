//! How values are written: each parser says in a sentence what it wants.

use std::net::SocketAddr;
use std::time::Duration;

/// An address and port, or `localhost:PORT`.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.replacen("localhost:", "127.0.0.1:", 1)
        .parse()
        .map_err(|_| {
            "an address and a port are wanted, such as 127.0.0.1:8080 or [::]:8080".to_owned()
        })
}

/// A duration as humantime reads it.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "a duration is wanted, such as 200ms, 30s or 1h 30m".to_owned())
}

/// A whole number between two bounds, both included.
pub fn number<const LEAST: u64, const MOST: u64>(text: &str) -> Result<usize, String> {
    let wanted = || format!("a whole number from {LEAST} to {MOST} is wanted");
    let number: u64 = text.parse().map_err(|_| wanted())?;
    if !(LEAST..=MOST).contains(&number) {
        return Err(wanted());
    }
    usize::try_from(number).map_err(|_| wanted())
}

/// An address of a server, as a client needs it: `http://HOST:PORT`, no slash at the end.
pub fn base_url(text: &str) -> Result<String, String> {
    let wanted = || "an address is wanted, such as http://127.0.0.1:8080".to_owned();
    let url = reqwest::Url::parse(text).map_err(|_| wanted())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wanted());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Three capital letters (ISO 4217).
pub fn currency(text: &str) -> Result<String, String> {
    if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Ok(text.to_owned());
    }
    Err("three capital letters are wanted, such as EUR".to_owned())
}

/// `HOST:PORT`, several joined by commas.
pub fn brokers(text: &str) -> Result<String, String> {
    let good = |broker: &str| {
        let port = broker
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty())
            .map(|(_, port)| port.parse::<u16>());
        matches!(port, Some(Ok(port)) if port > 0)
    };
    if text.split(',').all(good) {
        return Ok(text.to_owned());
    }
    Err("HOST:PORT is wanted, several joined by commas".to_owned())
}

/// What a topic's name may begin with: `[a-zA-Z0-9._-]`, at most 100 characters of the 249 that Kafka takes.
pub fn topic_prefix(text: &str) -> Result<String, String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if text.len() <= 100 && text.bytes().all(good) {
        return Ok(text.to_owned());
    }
    Err("at most 100 letters, digits, dots, dashes and underscores are wanted".to_owned())
}

/// `yes` or `no`, in any of the usual spellings.
pub fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err("on or off is wanted".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_taken_or_refused_with_what_is_wanted() {
        assert_eq!(
            address("localhost:80").unwrap(),
            "127.0.0.1:80".parse().unwrap()
        );
        assert!(
            address("8080")
                .unwrap_err()
                .contains("such as 127.0.0.1:8080")
        );
        assert_eq!(duration("1h 30m").unwrap(), Duration::from_secs(5400));
        assert!(duration("soon").is_err());
        assert_eq!(number::<1, 12>("12").unwrap(), 12);
        assert_eq!(
            number::<1, 12>("13").unwrap_err(),
            "a whole number from 1 to 12 is wanted"
        );
        assert_eq!(base_url("http://x:1/").unwrap(), "http://x:1");
        assert!(base_url("x:1").is_err());
        assert!(currency("eur").is_err());
        assert!(brokers("a:1,b:2").is_ok());
        assert!(brokers("a:1,b").is_err());
        assert!(brokers(":9092").is_err());
        assert!(topic_prefix("shop a").is_err());
        assert!(switch("YES").unwrap());
    }
}
