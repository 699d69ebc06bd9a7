//! `demo`: four orders with different outcomes.

use super::program::{ProgramOutput, program, run};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

#[test]
fn demo_orders_end_as_expected() {
    let output = run(&["demo", "--listen", "127.0.0.1:0"]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");

    for outcome in ["═ delivered after", "═ cancelled after", "═ declined after"] {
        assert!(
            output.stdout.contains(outcome),
            "{outcome}: {}",
            output.stdout
        );
    }
    assert_eq!(
        output.stdout.matches("  as expected  ").count(),
        4,
        "{}",
        output.stdout
    );
    assert!(
        !output.stdout.contains('\u{1b}'),
        "colours are written although stdout is not a terminal"
    );
}

#[test]
fn demo_rollback_is_in_reverse_and_refund_is_retried() {
    let output = run(&["demo", "--listen", "127.0.0.1:0"]);
    let fourth_order = output
        .stdout
        .split("Barbara orders")
        .nth(1)
        .expect("the output has no fourth order");
    let position = |text: &str| {
        fourth_order
            .find(text)
            .unwrap_or_else(|| panic!("{text:?} is missing: {fourth_order}"))
    };

    assert!(
        position("✋ customer  cancels") < position("◂ store"),
        "{fourth_order}"
    );
    assert!(
        position("↺ store") < position("◂ pay") && position("◂ pay") < position("attempt 1 failed"),
        "{fourth_order}"
    );
    assert!(
        position("attempt 1 failed") < position("↺ pay") && position("↺ pay") < position("◂ order"),
        "{fourth_order}"
    );
}

#[test]
fn demo_uses_a_free_port_and_rejects_invalid_settings() {
    let occupied = std::net::TcpListener::bind("127.0.0.1:0").expect("failed to bind a port");
    let address = occupied
        .local_addr()
        .expect("the listener has no address")
        .to_string();
    let output = program(&["demo"])
        .env("LISTEN", &address)
        .output()
        .expect("failed to run the program");

    assert!(output.status.success(), "{output:?}");

    let output = run(&["demo", "--auto", "soon"]);
    assert_eq!(output.code, 2, "{output:?}");
    assert!(output.stderr.contains("--auto is"), "{output:?}");
}

/// Runs the demo with a manual `store` step, and runs the command that it prints after `prompt` for the first order.
fn run_manual_demo(prompt: &str) -> ProgramOutput {
    let mut command = program(&["demo", "--auto", "off", "--listen", "127.0.0.1:0"]);
    let mut demo = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("failed to run the program");
    let mut lines = BufReader::new(demo.stdout.take().expect("stdout is piped"));
    let mut stdout = String::new();
    let command_line = loop {
        let line_start = stdout.len();
        assert!(
            lines.read_line(&mut stdout).expect("failed to read stdout") > 0,
            "the demo exited: {stdout}"
        );

        let line = stdout[line_start..].trim();
        assert!(
            !line.contains("═"),
            "the first order ended without the manual step: {stdout}"
        );

        if let Some(command_line) = line.strip_prefix(prompt) {
            break command_line.trim().to_owned();
        }
    };

    // The printed command must work as it is in a shell.
    let output = std::process::Command::new("sh")
        .args(["-c", &command_line])
        .output()
        .expect("failed to run sh");
    assert!(output.status.success(), "{command_line}: {output:?}");

    std::io::Read::read_to_string(&mut lines, &mut stdout).expect("failed to read stdout");
    let output = demo
        .wait_with_output()
        .expect("failed to wait for the demo");
    ProgramOutput {
        stdout,
        ..output.into()
    }
}

#[test]
fn demo_manual_step_is_prompted_and_awaited() {
    let output = run_manual_demo("it is ready");
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
    assert!(
        output.stdout.contains("store     completes the step"),
        "{}",
        output.stdout
    );
    assert!(
        output.stdout.contains("═ delivered after"),
        "{}",
        output.stdout
    );
    assert_eq!(
        output.stdout.matches("  as expected  ").count(),
        4,
        "{}",
        output.stdout
    );

    let output = run_manual_demo("it can't be");
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
    assert!(
        output
            .stdout
            .contains("store     fails the step: “out of buns”"),
        "{}",
        output.stdout
    );
    assert!(
        output.stdout.contains("═ failed after") && output.stdout.contains("═ declined after"),
        "{}",
        output.stdout
    );
}
