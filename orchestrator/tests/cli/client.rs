//! The client commands: their requests, their output and their exit codes.

use super::program::{program, run};
use super::stub_server::StubServer;

const ID: &str = "0193a5c2-0000-7000-8000-000000000001";

fn saga(status: &str) -> String {
    format!(
        r##"{{"id":"{ID}","workflow":"order","version":1,"key":"k-1","status":"{status}","revision":3,
        "started_at":"2026-07-01T10:00:00.000000Z","updated_at":"2026-07-01T10:00:01.500000Z","finished_at":null,
        "correlation_id":"c-1","deadline":"2026-07-02T10:00:00.000000Z","past_deadline":false,
        "paused":false,"cancel":null,"waiting_for":null,"unknown_field":1,"steps":[
        {{"name":"order","worker":"order","status":"completed","attempt":1,"started_at":"2026-07-01T10:00:00.000000Z",
          "finished_at":"2026-07-01T10:00:00.250000Z","error":null,"needs":[],"compensation":{{"empty":false}}}},
        {{"name":"pay","worker":"pay","status":"running","attempt":2,
          "error":{{"code":"busy","message":"try\u001b[2J","retryable":true}},"needs":["order"],"compensation":{{"empty":false}}}}]}}"##
    )
}

fn problem(detail: &str) -> String {
    format!(r#"{{"title":"No","detail":"{detail}","correlation_id":"c-9"}}"#)
}

#[tokio::test]
async fn rejection_has_exit_code_and_message() {
    for (status, code) in [
        (404, 3),
        (409, 4),
        (412, 4),
        (401, 5),
        (403, 5),
        (503, 6),
        (429, 6),
        (504, 6),
        (500, 1),
        (422, 1),
        (400, 1),
    ] {
        let server = StubServer::with_responses(&[(status, &problem("the reason"))]).await;
        let output = server.run(&["show", ID]).await;

        assert_eq!(
            (output.code, output.stdout.as_str()),
            (code, ""),
            "{status}: {output:?}"
        );
        assert!(
            output
                .stderr
                .starts_with(&format!("orchestrator: the reason ({status})")),
            "{output:?}"
        );
    }
}

#[test]
fn unreachable_server_exits_as_unavailable() {
    let output = run(&["list", "--server", "http://127.0.0.1:9"]);
    assert_eq!(output.code, 6, "{output:?}");
    assert!(
        output
            .stderr
            .contains("http://127.0.0.1:9 cannot be reached"),
        "{output:?}"
    );
}

#[test]
fn invalid_command_line_is_a_usage_error() {
    for line in [
        &["show"][..],
        &["show", "x"],
        &["list", "--status", "lost"],
        &["list", "--server", "x"],
        &["unknown-command"],
    ] {
        assert_eq!(run(line).code, 2, "{line:?}");
    }

    let not_json = run(&["start", "-w", "order", "-i", "{"]);
    assert_eq!(not_json.code, 2, "{not_json:?}");
    assert!(
        not_json.stderr.contains("--input is not JSON"),
        "{not_json:?}"
    );
}

#[tokio::test]
async fn server_flag_wins_over_its_variable() {
    let server = StubServer::with_responses(&[(200, &saga("running"))]).await;
    let show = program(&["show", ID, "--server", "http://127.0.0.1:9"]);
    let mut command = tokio::process::Command::from(show);
    let output = command
        .env("SAGA_SERVER", "http://127.0.0.1:7")
        .output()
        .await
        .unwrap();

    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("127.0.0.1:9")
    );
    assert_eq!(server.run(&["show", ID]).await.code, 0);
}

#[tokio::test]
async fn start_is_retried_with_the_same_idempotency_key() {
    let server =
        StubServer::with_responses(&[(503, &problem("starting")), (202, &saga("running"))]).await;
    let output = server
        .run(&[
            "start",
            "-w",
            "order",
            "-i",
            r#"{"a":1}"#,
            "-k",
            "k-1",
            "-o",
            "id",
        ])
        .await;

    assert_eq!((output.code, output.stdout), (0, format!("{ID}\n")));

    let requests = server.requests();
    assert_eq!(requests.len(), 2, "the start is retried once");
    assert_eq!(
        requests[0].headers["idempotency-key"],
        requests[1].headers["idempotency-key"]
    );
    assert_eq!(requests[1].request_line, "POST /sagas");

    let body: serde_json::Value = serde_json::from_str(&requests[1].body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({"workflow": "order", "key": "k-1", "input": {"a": 1}})
    );
}

#[tokio::test]
async fn start_wait_exit_code_depends_on_saga_status() {
    for (status, code) in [("completed", 0), ("parked", 7), ("compensated", 8)] {
        let server = StubServer::with_responses(&[
            (202, &saga("running")),
            (200, &saga("running")),
            (200, &saga(status)),
        ])
        .await;
        let output = server
            .run(&["start", "-w", "order", "--wait", "-o", "json"])
            .await;

        assert_eq!(output.code, code, "{output:?}");
        assert!(
            output.stdout.contains(&format!("\"status\":\"{status}\"")),
            "{output:?}"
        );
    }

    let running = saga("running");
    let responses: Vec<_> = std::iter::repeat_n((200, running.as_str()), 100).collect();
    let output = StubServer::with_responses(&responses)
        .await
        .run(&["start", "-w", "order", "--wait=60ms"])
        .await;

    assert_eq!(output.code, 6, "{output:?}");
}

#[tokio::test]
async fn operator_actions_send_their_reason() {
    let saga = saga("running");
    for (arguments, line, body) in [
        (
            &["cancel", ID, "-r", "why"][..],
            "cancel",
            r#"{"reason":"why"}"#,
        ),
        (&["retry", ID], "retry", "{}"),
        (&["pause", ID], "pause", "{}"),
        (&["resume", ID], "resume", "{}"),
        (
            &["complete", ID, "store", "--step-output", r#"{"b":2}"#],
            "steps/store/complete",
            r#"{"output":{"b":2}}"#,
        ),
        (
            &["complete", ID, "store", "--reason", "confirmed by phone"],
            "steps/store/complete",
            r#"{"output":{},"reason":"confirmed by phone"}"#,
        ),
        (
            &["fail", ID, "store", "--code", "x", "--message", "y"],
            "steps/store/fail",
            r#"{"error":{"code":"x","message":"y"}}"#,
        ),
        (
            &["resolve", ID, "pay", "--note", "done"],
            "steps/pay/resolve",
            r#"{"note":"done"}"#,
        ),
    ] {
        let server = StubServer::with_responses(&[(200, &saga)]).await;
        let output = server.run(arguments).await;

        assert_eq!(output.code, 0, "{output:?}");

        let requests = server.requests();
        assert_eq!(
            (requests[0].request_line.as_str(), requests[0].body.as_str()),
            (&*format!("POST /sagas/{ID}/{line}"), body)
        );
    }

    let server = StubServer::with_responses(&[(412, &problem("the revision has changed"))]).await;
    assert_eq!(
        server.run(&["cancel", ID, "--if-revision", "3"]).await.code,
        4
    );
    assert_eq!(server.requests()[0].headers["if-match"], "\"3\"");
}

#[tokio::test]
async fn list_follows_the_cursor_in_every_format() {
    let (first, second) = (saga("running"), saga("parked"));
    let pages = [
        format!(r#"{{"sagas":[{first}],"next":"c1"}}"#),
        format!(r#"{{"sagas":[{second}],"next":null}}"#),
    ];
    let responses = [(200, pages[0].as_str()), (200, pages[1].as_str())];

    let server = StubServer::with_responses(&responses).await;
    let output = server
        .run(&[
            "list",
            "-s",
            "running",
            "-s",
            "parked",
            "--since",
            "2026-07-01T00:00:00Z",
        ])
        .await;
    let lines: Vec<_> = output.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{output:?}");
    assert!(
        lines[0].starts_with("ID ") && lines[0].contains("STATUS"),
        "{output:?}"
    );
    assert!(
        lines[1].contains("▸ running  order@1   k-1  pay   1/2"),
        "{output:?}"
    );
    assert!(
        lines[1].contains(r"busy: try\u{1b}[2J"),
        "control characters are not escaped: {output:?}"
    );
    assert!(
        !output.stdout.contains('\u{1b}'),
        "colours are written although stdout is not a terminal"
    );
    let requests = server.requests();
    assert_eq!(
        requests[0].request_line,
        "GET /sagas?status=running&status=parked&since=2026-07-01T00%3A00%3A00Z&limit=50"
    );
    assert!(
        requests[1].request_line.ends_with("&limit=49&cursor=c1"),
        "{requests:?}"
    );

    let output = StubServer::with_responses(&responses)
        .await
        .run(&["list", "-o", "id"])
        .await;
    assert_eq!(output.stdout, format!("{ID}\n{ID}\n"));
    let output = StubServer::with_responses(&responses)
        .await
        .run(&["list", "-o", "jsonl"])
        .await;
    assert_eq!(output.stdout, format!("{first}\n{second}\n"));
    let output = StubServer::with_responses(&responses)
        .await
        .run(&["list", "-o", "json"])
        .await;
    let json: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(json["sagas"][1]["status"], "parked");
    assert!(json["next"].is_null());
    let output = StubServer::with_responses(&responses)
        .await
        .run(&["list", "-n", "1", "-o", "json"])
        .await;
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&output.stdout).unwrap()["next"],
        "c1"
    );
}

#[tokio::test]
async fn show_prints_the_saga_and_its_steps() {
    let output = StubServer::with_responses(&[(200, &saga("running"))])
        .await
        .run(&["show", ID])
        .await;
    assert!(
        output.stdout.contains("status     ▸ running\n"),
        "{output:?}"
    );
    assert!(
        output
            .stdout
            .contains("started    2026-07-01 10:00:00 UTC, took 1.5 s\n"),
        "{output:?}"
    );
    assert!(
        output
            .stdout
            .contains("order  ✓ completed  order   1        250 ms\n"),
        "{output:?}"
    );

    let failure = r#""failure":{"step":"pay","code":"declined","message":"no money","retryable":false},"steps""#;
    let compensated = saga("compensated").replacen(r#""steps""#, failure, 1);
    let output = StubServer::with_responses(&[(200, &compensated)])
        .await
        .run(&["show", ID])
        .await;

    assert!(
        output
            .stdout
            .contains("failed     pay, declined: no money\n"),
        "{output:?}"
    );
}

#[tokio::test]
async fn history_shows_the_result_of_each_input() {
    let history = r#"{"history":[
        {"revision":1,"at":"2026-07-01T10:00:00.000000Z","input":{"type":"start"},"by":"c-1",
         "moved":[{"step":null,"from":null,"to":"running"},{"step":"order","from":"pending","to":"running"}]},
        {"revision":1,"at":"2026-07-01T10:00:00.010000Z","ignored":"stale",
         "input":{"type":"reply","step":"order","action":"execute","attempt":1,"outcome":"failed",
                  "error":{"code":"declined","message":"no money","retryable":false}}}],"next":null}"#;
    let output = StubServer::with_responses(&[(200, history)])
        .await
        .run(&["history", ID])
        .await;

    assert!(
        output.stdout.contains("saga → running, order → running"),
        "{output:?}"
    );
    assert!(output.stdout.contains("+10 ms"), "{output:?}");
    assert!(
        output
            .stdout
            .contains("reply order execute attempt 1 failed, declined: no money"),
        "{output:?}"
    );
    assert!(output.stdout.contains("ignored: stale"), "{output:?}");
}

#[tokio::test]
async fn unexpected_response_is_not_printed() {
    let output = StubServer::with_responses(&[(200, "<html>")])
        .await
        .run(&["show", ID])
        .await;
    assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{output:?}");
    assert!(output.stderr.contains("unexpected"), "{output:?}");
}

#[test]
fn help_starts_with_examples_on_stdout() {
    for line in [
        &["--help"][..],
        &["start", "--help"],
        &["list", "--help"],
        &["bench", "--help"],
        &["check", "-h"],
    ] {
        let output = run(line);
        let (examples, usage) = (
            output.stdout.find("Examples:"),
            output.stdout.find("Usage:"),
        );

        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{line:?}");
        assert!(
            examples.is_some() && examples < usage,
            "{line:?}: {}",
            output.stdout
        );
    }
    assert!(run(&["--help"]).stdout.contains("7 parked, 8 compensated"));
}
