//! `demo`: four orders, four endings.

use super::program::{program, run};

#[test]
fn the_demo_tells_four_endings_and_ends_well() {
    let ran = run(&["demo", "--listen", "127.0.0.1:0"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    for ending in ["═ delivered after", "═ cancelled after", "═ declined after"] {
        assert!(ran.stdout.contains(ending), "{ending}: {}", ran.stdout);
    }
    assert_eq!(ran.stdout.matches("  as it should  ").count(), 4, "{}", ran.stdout);
    assert!(!ran.stdout.contains('\u{1b}'), "no colours off a terminal");
}

#[test]
fn a_cancel_undoes_the_last_step_first_and_a_refund_is_tried_again() {
    let ran = run(&["demo", "--listen", "127.0.0.1:0"]);
    let last = ran.stdout.split("Barbara orders").nth(1).expect("the fourth story is told");
    let at = |words: &str| last.find(words).unwrap_or_else(|| panic!("{words} is not told: {last}"));
    assert!(at("changes her mind") < at("◂ store"), "{last}");
    assert!(at("↺ store") < at("◂ pay") && at("◂ pay") < at("attempt 1 failed"), "{last}");
    assert!(at("attempt 1 failed") < at("↺ pay") && at("↺ pay") < at("◂ order"), "{last}");
}

#[test]
fn a_port_that_is_taken_is_no_obstacle_and_settings_that_make_no_sense_are() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let output = program(&["demo"]).env("LISTEN", &address).output().expect("it can be run");
    assert!(output.status.success(), "{output:?}");
    let ran = run(&["demo", "--auto", "off"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("AUTO is off"), "{ran:?}");
}
