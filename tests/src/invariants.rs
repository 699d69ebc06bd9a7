//! What must hold once all is quiet (I1, I2, I3, I8, I12), counted by those who had the effects: the workers' own
//! tables and the gateway's books, against what the orchestrator says of each saga.

use crate::SOON;
use crate::cluster::Cluster;
use orchestrator::db::Db;
use serde_json::Value;
use sqlx::{Connection, PgConnection, Row};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// What stands of one saga, per step: 1 in effect, 0 not, or no longer.
type Standing = BTreeMap<&'static str, i64>;

/// Checks all sagas of a cluster. Says how many of them were completed, and how many compensated.
///
/// # Panics
/// If an invariant does not hold.
pub async fn check(cluster: &Cluster) -> (usize, usize) {
    let db = orchestrator::db::Postgres::connect(&cluster.database_url, 1).await.expect("PostgreSQL answers");
    outbox_drains(&db).await;
    assert_eq!(db.forgotten(10).await.expect("answered"), Vec::<Uuid>::new(), "I12: a saga that nothing will move");
    let mut connection = PgConnection::connect(&cluster.database_url).await.expect("PostgreSQL answers");
    let sagas = sqlx::query("select id, status from saga.sagas").fetch_all(&mut connection).await.expect("sagas");
    let standing = effects(&mut connection, &books(cluster).await).await;
    let (mut completed, mut compensated) = (0, 0);
    for saga in &sagas {
        let (id, status): (Uuid, String) = (saga.get(0), saga.get(1));
        let nothing = Standing::new();
        let stands = standing.get(&id).unwrap_or(&nothing);
        match status.as_str() {
            "completed" => {
                completed += 1;
                let all = crate::cluster::WORKERS.iter().all(|step| stands.get(step) == Some(&1));
                assert!(all, "I2, I8: saga {id} is completed, and what stands is {stands:?}");
            }
            "compensated" => {
                compensated += 1;
                assert!(stands.values().all(|n| *n == 0), "I2: saga {id} is compensated, and {stands:?} stands");
            }
            "parked" => {}
            other => panic!("I1: saga {id} is {other}, and neither at an end nor parked"),
        }
    }
    assert_eq!(standing.keys().filter(|id| !sagas.iter().any(|saga| saga.get::<Uuid, _>(0) == **id)).count(), 0);
    (completed, compensated)
}

/// Within bounded time nothing is left to publish (I10).
async fn outbox_drains(db: &dyn Db) {
    let began = Instant::now();
    loop {
        let (pending, _) = db.outbox_backlog().await.expect("answered");
        if pending == 0 {
            return;
        }
        assert!(began.elapsed() < SOON, "{pending} rows are still in the outbox");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The gateway's books: its own record of every charge and refund.
async fn books(cluster: &Cluster) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.get(format!("{}/books", cluster.gateway_url)).send().await.expect("the gateway answers");
    answer.json().await.expect("books are JSON")
}

async fn effects(connection: &mut PgConnection, books: &Value) -> BTreeMap<Uuid, Standing> {
    let mut standing: BTreeMap<Uuid, Standing> = BTreeMap::new();
    let tables = [
        ("order", "select saga_id, (status = 'placed')::int::bigint from worker_order.orders"),
        ("store", "select saga_id, (status <> 'withdrawn')::int::bigint from worker_store.tickets"),
        ("deliver", "select saga_id, (status <> 'called_off')::int::bigint from worker_deliver.bookings"),
    ];
    for (step, query) in tables {
        for row in sqlx::query(query).fetch_all(&mut *connection).await.expect("a worker's table") {
            *standing.entry(row.get(0)).or_default().entry(step).or_default() += row.get::<i64, _>(1);
        }
    }
    let refunds = books["refunds"].as_object().expect("refunds, by the key of their charge");
    for key in books["charges"].as_object().expect("charges, by their key").keys() {
        let saga = key.split(':').next().and_then(|id| id.parse().ok()).expect("a key begins with its saga");
        *standing.entry(saga).or_default().entry("pay").or_default() += i64::from(!refunds.contains_key(key));
    }
    standing
}
