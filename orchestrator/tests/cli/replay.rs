//! `history --whole` and `replay`: the history of a saga of an embedded server is replayed.

use super::program::{ProgramOutput, program, run};
use super::serving::Server;
use serde_json::{Value, json};

const FLOW: &str = "workflow: guarded\nversion: 7\nsensitive: [input.payment.token]\nsteps:\n  - name: order\n  - name: pay\n";

fn replay(folder: &tempfile::TempDir, history: &Value, options: &[&str]) -> ProgramOutput {
    let path = folder.path().join("history.json");
    std::fs::write(&path, history.to_string()).expect("failed to write the file");
    run(&[
        &["replay", path.to_str().expect("the path is not UTF-8")],
        options,
    ]
    .concat())
}

#[tokio::test]
async fn replay_reports_a_tampered_history() {
    let folder = tempfile::tempdir().expect("failed to create a directory");
    let data = folder.path().join("data");
    let server = Server::start(
        &[],
        &[
            ("DATA_DIR", data.to_str().expect("the path is not UTF-8")),
            ("AUTO", "0s"),
        ],
    );
    server.wait_for_status("/readyz", 200).await;

    let client = reqwest::Client::new();
    let response = client
        .post(format!("{}/workflows", server.url))
        .body(FLOW)
        .send()
        .await
        .expect("no response");
    assert_eq!(response.status(), 201);

    let order = json!({"customer": "c-1", "store": "s-1", "items": [{"menu": "m", "quantity": 1, "price": 500}],
        "currency": "EUR", "fulfilment": "delivery", "payment": {"method": "card", "token": "tok_visa"}});
    let input = order.to_string();
    let url = server.url.clone();
    let client_command = async |arguments: &[&str]| -> ProgramOutput {
        let mut command = program(arguments);
        command.env("SAGA_SERVER", &url);
        tokio::task::spawn_blocking(move || {
            command.output().expect("failed to run the program").into()
        })
        .await
        .expect("the task panicked")
    };

    let started = client_command(&[
        "start",
        "--workflow",
        "guarded",
        "--input",
        &input,
        "--wait",
        "-o",
        "id",
    ])
    .await;
    assert_eq!(started.code, 0, "{started:?}");

    let id = started.stdout.trim();
    let whole = client_command(&["history", id, "--whole"]).await;

    assert_eq!(whole.code, 0, "{whole:?}");
    assert!(
        !whole.stdout.contains("tok_visa"),
        "a sensitive value is not masked: {whole:?}"
    );

    let whole: Value = serde_json::from_str(&whole.stdout).expect("not JSON");

    let identical = replay(&folder, &whole, &[]);
    assert_eq!(
        (identical.code, identical.stderr.as_str()),
        (0, ""),
        "{identical:?}"
    );
    assert!(
        identical
            .stdout
            .contains("3 inputs replayed without a difference; completed at revision 3"),
        "{identical:?}"
    );
    assert!(
        identical
            .stdout
            .contains("not compared: masked values (input.payment.token)"),
        "{identical:?}"
    );

    // A different outcome at revision 2.
    let mut tampered = whole.clone();
    tampered["history"][1]["input"]["outcome"] = "accepted".into();
    let mismatch = replay(&folder, &tampered, &[]);

    assert_eq!(mismatch.code, 1, "{mismatch:?}");
    assert!(
        mismatch.stderr.contains("revision 2, reply"),
        "{mismatch:?}"
    );

    // Equal transitions at each revision, but a different resulting saga.
    let mut tampered = whole.clone();
    tampered["saga"]["steps"][1]["attempt"] = 2.into();
    let mismatch = replay(&folder, &tampered, &[]);

    assert_eq!(mismatch.code, 1, "{mismatch:?}");

    let difference = "revision 3: saga.steps[1].attempt is 2 in the file but 1 after the replay";
    assert!(mismatch.stderr.contains(difference), "{mismatch:?}");

    // The history from the HTTP API does not contain the definition.
    let (_, page) = server
        .get(&format!("/sagas/{id}/history"))
        .await
        .expect("no response");
    let page: Value = serde_json::from_str(&page).expect("not JSON");
    let incomplete = replay(&folder, &page, &[]);

    assert_eq!(incomplete.code, 2, "{incomplete:?}");
    assert!(
        incomplete.stderr.contains("give --definition FILE"),
        "{incomplete:?}"
    );

    let flow = folder.path().join("guarded.yaml");
    std::fs::write(&flow, FLOW).expect("failed to write the file");
    let identical = replay(
        &folder,
        &page,
        &[
            "--definition",
            flow.to_str().expect("the path is not UTF-8"),
        ],
    );

    assert_eq!(
        (identical.code, identical.stderr.as_str()),
        (0, ""),
        "{identical:?}"
    );
    assert_eq!(run(&["replay", "/nowhere.json"]).code, 2);
    assert_eq!(server.terminate(), 0);
}
