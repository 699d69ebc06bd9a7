//! `demo`: four orders, four endings.

use super::program::{Ran, program, run};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

#[test]
fn the_demo_tells_four_endings_and_ends_well() {
    let ran = run(&["demo", "--listen", "127.0.0.1:0"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    for ending in ["═ delivered after", "═ cancelled after", "═ declined after"] {
        assert!(ran.stdout.contains(ending), "{ending}: {}", ran.stdout);
    }
    assert_eq!(
        ran.stdout.matches("  as it should  ").count(),
        4,
        "{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains('\u{1b}'), "no colours off a terminal");
}

#[test]
fn a_cancel_undoes_the_last_step_first_and_a_refund_is_tried_again() {
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
    assert!(at("changes her mind") < at("◂ store"), "{last}");
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
fn a_port_that_is_taken_is_no_obstacle_and_settings_that_make_no_sense_are() {
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
fn a_kitchen_that_a_person_has_to_answer_is_told_how_and_waited_for() {
    let ran = answered("it is ready");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(
        ran.stdout.contains("kitchen   says that it is ready"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("═ delivered after"), "{}", ran.stdout);
    assert_eq!(
        ran.stdout.matches("  as it should  ").count(),
        4,
        "{}",
        ran.stdout
    );

    let ran = answered("it can't be");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(
        ran.stdout
            .contains("kitchen   says that it can't be: “out of buns”"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("═ failed after") && ran.stdout.contains("═ declined after"),
        "{}",
        ran.stdout
    );
}
