//! `history --whole` and `replay`: what an embedded server did is done again.

use super::program::{Ran, program, run};
use super::serving::Server;
use serde_json::{Value, json};

const FLOW: &str = "workflow: guarded\nversion: 7\nsensitive: [input.payment.token]\nsteps:\n  - name: order\n  - name: pay\n";

fn replayed(folder: &tempfile::TempDir, value: &Value, more: &[&str]) -> Ran {
    let path = folder.path().join("history.json");
    std::fs::write(&path, value.to_string()).expect("the folder can be written");
    run(&[&["replay", path.to_str().expect("its name is text")], more].concat())
}

#[tokio::test]
async fn replay_reports_a_tampered_history() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(
        &[],
        &[("DATA_DIR", data.to_str().expect("text")), ("AUTO", "0s")],
    );
    server.until("/readyz", 200).await;
    let client = reqwest::Client::new();
    let put = client
        .post(format!("{}/workflows", server.url))
        .body(FLOW)
        .send()
        .await
        .expect("an answer");
    assert_eq!(put.status(), 201);
    let order = json!({"customer": "c-1", "store": "s-1", "items": [{"menu": "m", "quantity": 1, "price": 500}],
        "currency": "EUR", "fulfilment": "delivery", "payment": {"method": "card", "token": "tok_visa"}});
    let input = order.to_string();
    let url = server.url.clone();
    let asked = async |arguments: &[&str]| -> Ran {
        let mut command = program(arguments);
        command.env("SAGA_SERVER", &url);
        tokio::task::spawn_blocking(move || command.output().expect("it can be run").into())
            .await
            .expect("no panic")
    };
    let started = asked(&[
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
    let whole = asked(&["history", id, "--whole"]).await;
    assert_eq!(whole.code, 0, "{whole:?}");
    assert!(
        !whole.stdout.contains("tok_visa"),
        "what is hidden is not told: {whole:?}"
    );
    let whole: Value = serde_json::from_str(&whole.stdout).expect("JSON");

    let same = replayed(&folder, &whole, &[]);
    assert_eq!((same.code, same.stderr.as_str()), (0, ""), "{same:?}");
    assert!(
        same.stdout
            .contains("3 inputs replayed without a difference; completed at revision 3"),
        "{same:?}"
    );
    assert!(
        same.stdout
            .contains("not compared: masked values (input.payment.token)"),
        "{same:?}"
    );

    // Another outcome at revision 2.
    let mut tampered = whole.clone();
    tampered["history"][1]["input"]["outcome"] = "accepted".into();
    let differs = replayed(&folder, &tampered, &[]);
    assert_eq!(differs.code, 1, "{differs:?}");
    assert!(differs.stderr.contains("revision 2, reply"), "{differs:?}");

    // The same moves at each revision, and another saga.
    let mut tampered = whole.clone();
    tampered["saga"]["steps"][1]["attempt"] = 2.into();
    let differs = replayed(&folder, &tampered, &[]);
    assert_eq!(differs.code, 1, "{differs:?}");
    let words = "revision 3: saga.steps[1].attempt is 2 in the file but 1 after the replay";
    assert!(differs.stderr.contains(words), "{differs:?}");

    // The answer of the API alone needs the definition beside it.
    let (_, page) = server
        .get(&format!("/sagas/{id}/history"))
        .await
        .expect("an answer");
    let page: Value = serde_json::from_str(&page).expect("JSON");
    let lacking = replayed(&folder, &page, &[]);
    assert_eq!(lacking.code, 2, "{lacking:?}");
    assert!(
        lacking.stderr.contains("give --definition FILE"),
        "{lacking:?}"
    );
    let flow = folder.path().join("guarded.yaml");
    std::fs::write(&flow, FLOW).expect("the folder can be written");
    let same = replayed(
        &folder,
        &page,
        &["--definition", flow.to_str().expect("text")],
    );
    assert_eq!((same.code, same.stderr.as_str()), (0, ""), "{same:?}");
    assert_eq!(run(&["replay", "/nowhere.json"]).code, 2);
    assert_eq!(server.terminate(), 0);
}
