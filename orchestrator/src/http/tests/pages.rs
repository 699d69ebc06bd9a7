use super::{Fixture, TestResponse};
use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::json;

#[track_caller]
fn is_page(response: &TestResponse, status: u16) -> String {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.header("content-type"), "text/html; charset=utf-8");
    let policy = response.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    let html = response.text();
    assert!(html.starts_with("<!doctype html>") && html.contains("</html>"));
    for inline in ["<style", "style=\"", "onclick=", "<script>", "http-equiv"] {
        assert!(!html.contains(inline), "{inline}");
    }
    html
}

async fn form(fixture: &Fixture, path: &str, headers: &[(&str, &str)], body: &str) -> TestResponse {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("host", "us");
    request = request.header("content-type", "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    fixture
        .send(request.body(Body::from(body.to_owned())).unwrap())
        .await
}

#[tokio::test]
async fn empty_dashboard_shows_an_example() {
    let fixture = Fixture::new().await;
    let html = is_page(&fixture.get("/").await, 200);
    assert!(html.contains("curl -i http://127.0.0.1:8080/orders"));
    assert!(html.contains("No saga is parked"));
    assert!(
        is_page(&fixture.get("/ui/sagas?status=parked").await, 200).contains("Remove all filters")
    );
    is_page(&fixture.get("/ui/sagas?colour=red").await, 400);
    is_page(&fixture.get("/ui/sagas/7").await, 404);
    is_page(
        &fixture
            .get(&format!("/ui/sagas/{}", uuid::Uuid::now_v7()))
            .await,
        404,
    );
}

#[tokio::test]
async fn lists_show_sagas_and_link_to_the_next_page() {
    let fixture = Fixture::new().await;
    for _ in 0..21 {
        fixture.start_trip().await;
    }
    let parked = fixture.start_trip().await;
    fixture.reply_failed(parked, "car", "none").await;
    fixture.reply_failed(parked, "car", "garage_closed").await;
    let html = is_page(&fixture.get("/").await, 200);
    assert!(html.contains("garage_closed: rejected by the worker"));
    assert!(html.contains("<b>21</b>") && html.contains("rel=\"next\""));
    let html = is_page(
        &fixture.get("/ui/sagas?status=parked&workflow=trip").await,
        200,
    );
    assert!(html.contains(&format!("/ui/sagas/{parked}")));
    assert!(
        html.contains("/ui/sagas?workflow=trip"),
        "the link removes one filter"
    );
}

#[tokio::test]
async fn untrusted_text_is_escaped() {
    let fixture = Fixture::new().await;
    let started = fixture
        .post(
            "/sagas",
            &json!({"workflow": "trip", "key": "<script>alert(1)</script>", "input": {"a": "<b>"}}),
        )
        .await;
    let id = super::response_id(&started);
    fixture
        .reply(id, "car", |reply| {
            reply.output = Some(saga_protocol::Payload::from(json!("</pre><script>")))
        })
        .await;
    fixture
        .post(
            &format!("/sagas/{id}/cancel"),
            &json!({"reason": "<i>no</i>"}),
        )
        .await;
    for path in [
        "/",
        "/ui/sagas",
        &format!("/ui/sagas/{id}"),
        "/ui/sagas?key=%3Cscript%3E",
    ] {
        let html = is_page(&fixture.get(path).await, 200);
        assert!(
            !html.contains("<script>") && !html.contains("<i>no"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn saga_page_shows_all_and_its_forms_act() {
    let fixture = Fixture::new().await;
    let id = fixture.start_trip().await;
    let path = format!("/ui/sagas/{id}");
    let html = is_page(&fixture.get(&path).await, 200);
    for part in [
        "Waiting for",
        "hotel",
        "These steps are compensated, in this order: car",
        "•••",
        "Complete car",
        "The saga is not paused.",
    ] {
        assert!(html.contains(part), "{part}");
    }
    let paused = form(
        &fixture,
        &format!("{path}/pause"),
        &[("origin", "http://us")],
        "reason=lunch&revision=1",
    )
    .await;
    assert_eq!(
        (paused.status.as_u16(), paused.header("location")),
        (303, format!("{path}?done=pause").as_str())
    );
    assert!(
        is_page(&fixture.get(&format!("{path}?done=pause")).await, 200)
            .contains("The saga is paused.")
    );
    let stale = form(&fixture, &format!("{path}/resume"), &[], "revision=1").await;
    assert!(is_page(&stale, 412).contains("the saga is at revision 2 now"));
    assert_eq!(
        form(&fixture, &format!("{path}/resume"), &[], "revision=2")
            .await
            .status,
        303
    );
    is_page(
        &form(&fixture, &format!("{path}/dance"), &[], "").await,
        404,
    );
}

#[tokio::test]
async fn step_forms_complete_fail_and_resolve_steps() {
    let fixture = Fixture::new().await;
    let id = fixture.start_trip().await;
    let path = format!("/ui/sagas/{id}");

    assert_eq!(
        form(
            &fixture,
            &format!("{path}/steps/car/complete"),
            &[],
            "output=%7B%22a%22%3A1%7D&reason=they+called"
        )
        .await
        .status,
        303
    );
    assert!(is_page(&fixture.get(&path).await, 200).contains("complete of car: they called"));
    is_page(
        &form(
            &fixture,
            &format!("{path}/steps/hotel/complete"),
            &[],
            "output=%7B",
        )
        .await,
        422,
    );
    assert_eq!(
        form(
            &fixture,
            &format!("{path}/steps/hotel/fail"),
            &[],
            "code=full&message=no+room"
        )
        .await
        .status,
        303
    );
    fixture.reply(id, "hotel", |_| {}).await;
    fixture.reply_failed(id, "car", "garage_closed").await;
    assert!(is_page(&fixture.get(&path).await, 200).contains("Resolve the compensation of car"));
    assert_eq!(
        form(
            &fixture,
            &format!("{path}/steps/car/resolve"),
            &[],
            "note=towed"
        )
        .await
        .status,
        303
    );
    let html = is_page(&fixture.get(&path).await, 200);
    assert!(
        html.contains("resolved manually: towed")
            && html.contains("Too late: the saga was compensated without a cancel.")
    );
}

#[tokio::test]
async fn form_of_another_site_is_rejected() {
    let fixture = Fixture::new().await;
    let id = fixture.start_trip().await;
    for (name, value) in [
        ("origin", "http://them"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let refused = form(
            &fixture,
            &format!("/ui/sagas/{id}/cancel"),
            &[(name, value)],
            "reason=x",
        )
        .await;
        is_page(&refused, 403);
    }
    assert_eq!(fixture.saga(id).await.revision, 1);
}

#[tokio::test]
async fn documentation_and_assets_are_served() {
    let fixture = Fixture::new().await;
    let html = is_page(&fixture.get("/docs").await, 200);
    for part in [
        "/orders/{id}/cancel",
        "id=\"too-late\"",
        "big mac",
        "Idempotency-Key",
    ] {
        assert!(html.contains(part), "{part}");
    }
    for (name, media_type) in [
        ("style.css", "text/css; charset=utf-8"),
        ("refresh.js", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ] {
        let asset = fixture.get(&format!("/assets/{name}")).await;
        assert_eq!(
            (asset.status.as_u16(), asset.header("content-type")),
            (200, media_type)
        );
        let tag = asset.header("etag").to_owned();
        let again = fixture
            .call(
                Method::GET,
                &format!("/assets/{name}"),
                &[("if-none-match", &tag)],
                None,
            )
            .await;
        assert_eq!(again.status, 304);
    }
    fixture.get("/assets/../Cargo.toml").await.problem(404);
}
