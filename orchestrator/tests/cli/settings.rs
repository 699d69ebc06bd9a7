//! Validation of settings, and the command `settings`.

use super::program::{program, run};

#[test]
fn serve_reports_all_setting_errors_together() {
    let output = program(&["serve", "--shards", "0"])
        .env("LISTEN", "nowhere")
        .env("DATABASE_URL", "x")
        .env("DATABASE_URL_FILE", "/nowhere")
        .output();
    let output: super::program::ProgramOutput = output.expect("failed to run the program").into();

    assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{output:?}");

    for message in [
        "LISTEN is \"nowhere\"",
        "--shards is \"0\"",
        "DATABASE_URL and DATABASE_URL_FILE are both set",
        "KAFKA_BROKERS is not set",
    ] {
        assert!(output.stderr.contains(message), "{message}: {output:?}");
    }
    assert_eq!(output.stderr.lines().count(), 4, "{output:?}");
}

#[test]
fn settings_table_lists_flags_except_for_secrets() {
    let output = run(&["settings", "-o", "json"]);
    assert_eq!(output.code, 0, "{output:?}");

    let rows: Vec<serde_json::Value> =
        serde_json::from_str(&output.stdout).expect("stdout is not JSON");
    let row = |variable: &str| {
        rows.iter()
            .find(|row| row["variable"] == variable)
            .unwrap_or_else(|| panic!("{variable} is missing"))
    };

    for variable in [
        "LISTEN",
        "DATA_DIR",
        "KAFKA_BROKERS",
        "TOPIC_PREFIX",
        "TOPIC_PARTITIONS",
        "PAYMENT_GATEWAY_URL",
        "CONCURRENCY",
        "AUTO",
        "ORDER_VERSION",
        "CURRENCY",
        "IDEMPOTENCY_LIFE",
        "MIGRATE",
        "SHARDS",
        "AUTH",
        "ALLOW_FAULTS",
        "LOG_FORMAT",
        "SAGA_SERVER",
    ] {
        assert!(
            row(variable)["flag"]
                .as_str()
                .is_some_and(|flag| flag.starts_with("--")),
            "{variable} has no flag"
        );
    }

    for variable in ["DATABASE_URL", "VIEW_DATABASE_URL", "KAFKA_PROPERTIES"] {
        assert!(row(variable)["flag"].is_null(), "{variable} has a flag");
    }
    assert!(rows.iter().all(|row| {
        row["meaning"]
            .as_str()
            .is_some_and(|meaning| !meaning.is_empty())
    }));
    assert_eq!(row("LISTEN")["default"], "127.0.0.1:8080");

    let markdown = run(&["settings", "-o", "markdown"]).stdout;
    assert_eq!(markdown.lines().count(), rows.len() + 2);
    assert!(
        markdown.contains("| `LISTEN` | `--listen` | `ADDRESS:PORT` | `127.0.0.1:8080` |"),
        "{markdown}"
    );
}
