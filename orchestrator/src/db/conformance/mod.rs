//! Conformance tests: what every database implementation must do.
//!
//! `DATABASE_URL` names the PostgreSQL server: each test creates a database there and drops it. Without the variable
//! these tests print `SKIPPED`; with `REQUIRE=all` they fail.

/// Runs each test on both databases.
macro_rules! on_both {
    ($($test:ident,)*) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    crate::db::conformance::on_sqlite(super::$test).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    crate::db::conformance::on_postgres(stringify!($test), super::$test).await;
                }
            )*
        }
    };
}

mod batches;
mod checks;
mod claims;
mod definitions;
mod lists;
mod outbox;
mod postgres_only;
mod reads;
mod starts;
mod writes;

use super::{Db, Postgres, Sqlite};
use futures::FutureExt;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use uuid::Uuid;

/// A database created for one test.
pub(in crate::db) struct TestDatabase {
    db: Arc<dyn Db>,
    /// The URL of a PostgreSQL database, for connections of the test's own.
    pub(in crate::db) url: Option<String>,
    /// The SQLite file.
    file: Option<std::path::PathBuf>,
}

/// Runs a test on a SQLite file of its own.
async fn on_sqlite(test: impl AsyncFnOnce(&TestDatabase)) {
    let dir = tempfile::tempdir().expect("a folder for the test");
    let file = dir.path().join("saga.db");
    let db: Arc<dyn Db> = Arc::new(Sqlite::open(&file).await.expect("a new file can be opened"));
    db.migrate().await.expect("a new file can be migrated");
    test(&TestDatabase {
        db,
        url: None,
        file: Some(file),
    })
    .await;
}

/// A connection of the test's own, which finds the tables without their schema.
enum RawConnection {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl RawConnection {
    async fn open(database: &TestDatabase) -> Self {
        if let Some(url) = &database.url {
            let mut connection = PgConnection::connect(url).await.expect("it is there");
            sqlx::raw_sql("set search_path to saga")
                .execute(&mut connection)
                .await
                .expect("a setting");
            return Self::Postgres(connection);
        }
        let options = SqliteConnectOptions::new()
            .filename(database.file.as_ref().expect("it is a file, then"));
        Self::Sqlite(
            SqliteConnection::connect_with(&options)
                .await
                .expect("it is there"),
        )
    }

    /// Runs a statement that both databases understand.
    async fn run(&mut self, statement: &str) -> Result<u64, sqlx::Error> {
        let query = sqlx::raw_sql(AssertSqlSafe(statement));
        match self {
            Self::Postgres(connection) => query
                .execute(connection)
                .await
                .map(|done| done.rows_affected()),
            Self::Sqlite(connection) => query
                .execute(connection)
                .await
                .map(|done| done.rows_affected()),
        }
    }
}

/// Runs a test on a PostgreSQL database of its own.
pub(in crate::db) async fn on_postgres(name: &str, test: impl AsyncFnOnce(&TestDatabase)) {
    let Ok(server) = std::env::var("DATABASE_URL") else {
        assert_ne!(
            std::env::var("REQUIRE").as_deref(),
            Ok("all"),
            "{name} needs DATABASE_URL"
        );
        println!("SKIPPED {name}: DATABASE_URL is not set");
        return;
    };
    let name_in_server = format!("db_{}", Uuid::now_v7().simple());
    admin(&server, &format!("create database {name_in_server}")).await;
    let (host, _) = server
        .rsplit_once('/')
        .expect("a URL ends with the name of a database");
    let url = format!("{host}/{name_in_server}");
    let outcome = AssertUnwindSafe(async {
        let db: Arc<dyn Db> = Arc::new(
            Postgres::connect(&url, 2)
                .await
                .expect("a new database can be connected to"),
        );
        db.migrate().await.expect("a new database can be migrated");
        test(&TestDatabase {
            db,
            url: Some(url.clone()),
            file: None,
        })
        .await;
    });
    let outcome = outcome.catch_unwind().await;
    admin(
        &server,
        &format!("drop database {name_in_server} with (force)"),
    )
    .await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

async fn admin(url: &str, statement: &str) {
    let mut connection = PgConnection::connect(url)
        .await
        .expect("DATABASE_URL can be connected to");
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await
        .expect("the test role may create databases");
}
