//! Parsers of values. Each error names the values that are valid.

use crate::error::InvalidValue;
use std::net::SocketAddr;
use std::time::Duration;

/// An address and port; `localhost` stands for 127.0.0.1.
///
/// # Errors
/// If it is neither.
pub fn address(text: &str) -> Result<SocketAddr, InvalidValue> {
    text.replacen("localhost:", "127.0.0.1:", 1)
        .parse()
        .map_err(|_| {
            InvalidValue::expected("an address and a port, such as 127.0.0.1:8080 or [::]:8080")
        })
}

/// A duration in the syntax of humantime.
///
/// # Errors
/// If it has another syntax.
pub fn duration(text: &str) -> Result<Duration, InvalidValue> {
    humantime::parse_duration(text)
        .map_err(|_| InvalidValue::expected("a duration, such as 200ms, 30s or 1h 30m"))
}

/// A whole number within inclusive limits.
///
/// # Errors
/// If it is no number, or out of the limits.
pub fn number<const MIN: u64, const MAX: u64>(text: &str) -> Result<usize, InvalidValue> {
    let number: Option<u64> = text.parse().ok();

    number
        .filter(|number| (MIN..=MAX).contains(number))
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| InvalidValue::expected(format!("a whole number from {MIN} to {MAX}")))
}

/// `on` or `off`, or one of their usual synonyms.
///
/// # Errors
/// If it is another text.
pub fn on_off(text: &str) -> Result<bool, InvalidValue> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err(InvalidValue::expected("on or off")),
    }
}

/// The URL of an HTTP server, without the slash at its end.
///
/// # Errors
/// If the scheme is not http or https, or there is no host.
pub fn base_url(text: &str) -> Result<String, InvalidValue> {
    let invalid = || InvalidValue::expected("a URL, such as http://127.0.0.1:8080");
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))
        .ok_or_else(invalid)?;

    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host_and_port = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    // The colons within the brackets of an IPv6 address do not begin a port.
    let (host, port) = match host_and_port.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (host_and_port, None),
    };

    let is_valid_port = port.is_none_or(|port| port.parse::<u16>().is_ok());
    let is_plain = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    if host.is_empty() || !is_valid_port || !is_plain {
        return Err(invalid());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// `HOST:PORT`, or several separated by commas.
///
/// # Errors
/// If one of them lacks its host or its port.
pub fn brokers(text: &str) -> Result<String, InvalidValue> {
    let is_valid = |broker: &str| {
        broker.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
        })
    };

    match text.split(',').all(|broker| is_valid(broker.trim())) {
        true => Ok(text.to_owned()),
        false => Err(InvalidValue::expected(
            "HOST:PORT, or several separated by commas",
        )),
    }
}

/// A prefix of topic names: at most 100 of the 249 characters that Kafka allows.
///
/// # Errors
/// If it is longer or has other characters than `[a-zA-Z0-9._-]`.
pub fn topic_prefix(text: &str) -> Result<String, InvalidValue> {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);

    match text.len() <= 100 && text.bytes().all(is_valid) {
        true => Ok(text.to_owned()),
        false => Err(InvalidValue::expected(
            "at most 100 letters, digits, dots, dashes and underscores",
        )),
    }
}

/// Properties `k=v,k=v`. A comma within a value is written `\,`.
///
/// # Errors
/// If a part is not `k=v`. The error does not show the part, which may hold a password.
pub fn properties(text: &str) -> Result<Vec<(String, String)>, InvalidValue> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&',') => {
                parts.last_mut().expect("never empty").extend(chars.next())
            }
            ',' => parts.push(String::new()),
            c => parts.last_mut().expect("never empty").push(c),
        }
    }

    let mut properties = Vec::new();
    for part in parts
        .iter()
        .map(|part| part.trim())
        .filter(|part| !part.is_empty())
    {
        match part
            .split_once('=')
            .map(|(key, value)| (key.trim(), value.trim()))
        {
            Some((key, value)) if !key.is_empty() => {
                properties.push((key.to_owned(), value.to_owned()));
            }
            _ => {
                let number = properties.len() + 1;
                let message = format!(
                    "k=v,… (`\\,` is a comma within a value); part {number} has another form"
                );
                return Err(InvalidValue::expected(message));
            }
        }
    }
    Ok(properties)
}

/// The URL of a PostgreSQL database.
///
/// # Errors
/// If it has another scheme.
pub fn postgres_url(text: &str) -> Result<(), InvalidValue> {
    match text.starts_with("postgres://") || text.starts_with("postgresql://") {
        true => Ok(()),
        false => Err(InvalidValue::expected(
            "an address that begins with postgres:// or postgresql://",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_values_are_parsed() {
        assert_eq!(
            address("localhost:80").unwrap(),
            "127.0.0.1:80".parse().unwrap()
        );
        assert_eq!(duration("1h 30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(number::<1, 12>("12").unwrap(), 12);
        assert!(on_off("YES").unwrap());
        assert_eq!(base_url("http://x:1/").unwrap(), "http://x:1");
        assert_eq!(
            base_url("https://[::1]:8080/base").unwrap(),
            "https://[::1]:8080/base"
        );
        assert!(brokers("a:1,b:2").is_ok());
        assert!(topic_prefix("shop.").is_ok());
    }

    #[test]
    fn invalid_values_are_rejected_with_the_valid_ones() {
        let message = |error: InvalidValue| error.to_string();
        assert!(message(address("8080").unwrap_err()).contains("such as 127.0.0.1:8080"));
        assert_eq!(
            message(number::<1, 12>("13").unwrap_err()),
            "expected a whole number from 1 to 12"
        );

        assert!(duration("soon").is_err());
        assert!(on_off("maybe").is_err());
        for url in [
            "x:1",
            "ftp://x",
            "http://",
            "http://:80",
            "http://x:y",
            "http://x y",
        ] {
            assert!(base_url(url).is_err(), "{url}");
        }
        for text in ["a:1,b", ":9092", "a:0"] {
            assert!(brokers(text).is_err(), "{text}");
        }
        assert!(topic_prefix("shop a").is_err());
        assert!(postgres_url("mysql://h/d").is_err());
    }

    #[test]
    fn properties_may_contain_escaped_commas() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            properties(r"sasl.username=me, sasl.password=a\,b=c,").unwrap(),
            [pair("sasl.username", "me"), pair("sasl.password", "a,b=c")]
        );
        assert_eq!(properties("").unwrap(), []);

        for text in ["hush", "=hush", "a=b,hush"] {
            let error = properties(text).unwrap_err().to_string();
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
