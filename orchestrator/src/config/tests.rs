//! Settings as variables; flags are tested with the command line.

use super::*;
use saga_settings::{Environment, Setting, SettingsGroup, read};
use std::time::Duration;
use workers::handlers::Auto;

fn from_variables<S: SettingsGroup>(variables: &[(&str, &str)]) -> Result<S, Vec<String>> {
    let environment: Environment<'_> = &|name| {
        let (_, value) = variables.iter().find(|(variable, _)| *variable == name)?;
        Some((*value).to_owned())
    };
    let no_flags = |_: &Setting| None;
    read(&no_flags, environment, S::read)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

#[test]
fn embedded_without_variables_has_defaults() {
    let settings: EmbeddedSettings = from_variables(&[]).unwrap();
    assert_eq!(settings.http.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(settings.http.warning(), None);
    assert!(!settings.http.allow_faults);
    assert_eq!(settings.storage.directory().to_str(), Some("./data"));
    assert_eq!(settings.workers.auto, None);
    assert_eq!(settings.orders.order_version, 1);
    assert_eq!(
        settings.orders.idempotency_life,
        Duration::from_secs(24 * 3600)
    );
}

#[test]
fn embedded_reports_all_errors_together() {
    let errors = from_variables::<EmbeddedSettings>(&[
        ("LISTEN", "8080"),
        ("AUTH", "jwt"),
        ("ALLOW_FAULTS", "on"),
        ("AUTO", "soon"),
        ("CURRENCY", "euro"),
        ("IDEMPOTENCY_LIFE", "1s"),
        ("SHARDS", "0"),
        ("LOG_FORMAT", "xml"),
    ])
    .unwrap_err();
    let expected = [
        "LISTEN is \"8080\": expected an address and a port, such as 127.0.0.1:8080 or [::]:8080",
        "AUTH is jwt, which this release does not support; expected none",
        "ALLOW_FAULTS is on, which AUTH=jwt does not allow; expected off",
        "AUTO is \"soon\": expected a duration such as 0s or 2s, or off",
        "CURRENCY is \"euro\": expected three capital letters, such as EUR",
        "IDEMPOTENCY_LIFE is \"1s\": expected a duration of at least 1m",
        "SHARDS is \"0\": expected a whole number from 1 to 64",
        "LOG_FORMAT is \"xml\": expected text or json",
    ];
    assert_eq!(errors, expected);
}

#[test]
fn embedded_auto_is_off_or_at_most_an_hour() {
    let auto = |value| {
        from_variables::<EmbeddedSettings>(&[("AUTO", value)]).map(|settings| settings.workers.auto)
    };
    assert_eq!(auto("off"), Ok(Some(Auto::Off)));
    assert_eq!(auto("1h"), Ok(Some(Auto::After(Duration::from_secs(3600)))));
    assert!(auto("61m").is_err());
}

#[test]
fn serve_reports_all_missing_settings_together() {
    let errors = from_variables::<ServeSettings>(&[
        ("TOPIC_PARTITIONS", "none"),
        ("VIEW_DATABASE_URL", "mysql://x"),
    ])
    .unwrap_err();
    let expected = [
        "DATABASE_URL is not set; expected postgres://USER:PASSWORD@HOST/DATABASE",
        "VIEW_DATABASE_URL is invalid: expected an address that begins with postgres:// or postgresql://",
        "KAFKA_BROKERS is not set; expected HOST:PORT,…",
        "TOPIC_PARTITIONS is \"none\": expected a whole number from 1 to 1000",
    ];
    assert_eq!(errors, expected);
}

#[test]
fn serve_reads_secrets_and_does_not_show_them() {
    let settings: ServeSettings = from_variables(&[
        ("DATABASE_URL", "postgres://u:secret@h/d"),
        ("KAFKA_BROKERS", "a:1,b:2"),
        (
            "KAFKA_PROPERTIES",
            "sasl.username=u, sasl.password=secret=q",
        ),
        ("TOPIC_PREFIX", "shop."),
        ("MIGRATE", "off"),
        ("LISTEN", "0.0.0.0:2"),
    ])
    .unwrap();

    assert!(!format!("{settings:?}").contains("secret"));
    assert_eq!(settings.database.url.expose(), "postgres://u:secret@h/d");
    assert!(!settings.database.migrate_at_start);
    assert_eq!(
        settings.kafka.properties()[1],
        ("sasl.password".to_owned(), "secret=q".to_owned())
    );
    assert_eq!(settings.kafka.topic_prefix, "shop.");
    assert!(settings.http.warning().unwrap().contains("0.0.0.0:2"));
}
