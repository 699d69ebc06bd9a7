//! `demo`: four orders, four endings.

use super::program::{Ran, program, run};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

#[test]
fn demo_orders_end_as_expected() {
    let ran = run(&["demo", "--listen", "127.0.0.1:0"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    for ending in ["═ delivered after", "═ cancelled after", "═ declined after"] {
        assert!(ran.stdout.contains(ending), "{ending}: {}", ran.stdout);
    }
    assert_eq!(
        ran.stdout.matches("  as expected  ").count(),
        4,
        "{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains('\u{1b}'), "no colours off a terminal");
}

#[test]
fn demo_rollback_is_in_reverse_and_refund_is_retried() {
    let ran = run(&["demo", "--listen", "127.0.0.1:0"]);
    let last = ran
        .stdout
        .split("Barbara orders")
        .nth(1)
        .expect("the fourth story is told");
    let at = |words: &str| {
        last.find(words)
            .unwrap_or_else(|| panic!("{words} is not told: {last}"))
    };
    assert!(at("✋ customer  cancels") < at("◂ store"), "{last}");
    assert!(
        at("↺ store") < at("◂ pay") && at("◂ pay") < at("attempt 1 failed"),
        "{last}"
    );
    assert!(
        at("attempt 1 failed") < at("↺ pay") && at("↺ pay") < at("◂ order"),
        "{last}"
    );
}

#[test]
fn demo_uses_a_free_port_and_rejects_invalid_settings() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let output = program(&["demo"])
        .env("LISTEN", &address)
        .output()
        .expect("it can be run");
    assert!(output.status.success(), "{output:?}");
    let ran = run(&["demo", "--auto", "soon"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("--auto is"), "{ran:?}");
}

/// Runs the demo with a kitchen that a person answers, and types what it says: the line that begins so.
fn answered(begins: &str) -> Ran {
    let mut command = program(&["demo", "--auto", "off", "--listen", "127.0.0.1:0"]);
    let mut demo = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it can be run");
    let mut lines = BufReader::new(demo.stdout.take().expect("it has a stdout"));
    let mut stdout = String::new();
    let typed = loop {
        let before = stdout.len();
        assert!(
            lines.read_line(&mut stdout).expect("it can be read") > 0,
            "it ended: {stdout}"
        );
        let line = stdout[before..].trim();
        assert!(!line.contains("═"), "the first order waits: {stdout}");
        if let Some(typed) = line.strip_prefix(begins) {
            break typed.trim().to_owned();
        }
    };
    // As a shell would take it.
    let done = std::process::Command::new("sh")
        .args(["-c", &typed])
        .output()
        .expect("there is a shell");
    assert!(done.status.success(), "{typed}: {done:?}");
    std::io::Read::read_to_string(&mut lines, &mut stdout).expect("it can be read");
    let output = demo.wait_with_output().expect("it ends");
    Ran {
        stdout,
        ..output.into()
    }
}

#[test]
fn demo_manual_step_is_prompted_and_awaited() {
    let ran = answered("it is ready");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(
        ran.stdout.contains("store     completes the step"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("═ delivered after"), "{}", ran.stdout);
    assert_eq!(
        ran.stdout.matches("  as expected  ").count(),
        4,
        "{}",
        ran.stdout
    );

    let ran = answered("it can't be");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(
        ran.stdout
            .contains("store     fails the step: “out of buns”"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("═ failed after") && ran.stdout.contains("═ declined after"),
        "{}",
        ran.stdout
    );
}
