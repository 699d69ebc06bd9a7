//! A transaction of a worker's database, with SQL that is written once for PostgreSQL and SQLite.

use super::row::Row;
use super::rows::{Rows, add};
use futures::TryStreamExt;
use saga_protocol::Time;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Either, Executor, Postgres, Sqlite, Transaction};
use std::borrow::Cow;
use uuid::Uuid;

/// An open transaction. Dropping it without a commit rolls it back.
///
/// The text of a statement may contain:
///
/// - `$1`, `$2` …: the values of [`Statement::bind`], in their order;
/// - `{rows}`: the rows of [`Statement::rows`], under the alias `r`;
/// - `{now}`: the database's time;
/// - `{for_update}`, `{skip_locked}`: row locks. They are empty in SQLite, which has one writer.
#[derive(Debug)]
pub struct Tx(Inner);

#[derive(Debug)]
enum Inner {
    Postgres(Transaction<'static, Postgres>),
    Sqlite(Transaction<'static, Sqlite>),
}

/// The kind of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

/// An argument of a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum SqlValue {
    /// A `uuid`; in SQLite a blob of 16 bytes.
    Uuid(Uuid),
    /// A `text`.
    Text(String),
    /// A `bigint`.
    Int(i64),
    /// A `timestamptz`; in SQLite an integer of microseconds since 1970.
    Time(Time),
}

impl From<Uuid> for SqlValue {
    fn from(value: Uuid) -> Self {
        Self::Uuid(value)
    }
}

impl From<&str> for SqlValue {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for SqlValue {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<i64> for SqlValue {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<Time> for SqlValue {
    fn from(value: Time) -> Self {
        Self::Time(value)
    }
}

impl From<Transaction<'static, Postgres>> for Tx {
    fn from(tx: Transaction<'static, Postgres>) -> Self {
        Self(Inner::Postgres(tx))
    }
}

impl From<Transaction<'static, Sqlite>> for Tx {
    fn from(tx: Transaction<'static, Sqlite>) -> Self {
        Self(Inner::Sqlite(tx))
    }
}

impl Tx {
    /// Prepares a statement. It does nothing until it is executed or fetched.
    pub fn sql(&mut self, text: &'static str) -> Statement<'_> {
        Statement {
            tx: self,
            text,
            arguments: Vec::new(),
            rows: None,
        }
    }

    /// The kind of the database, for SQL that differs.
    pub const fn dialect(&self) -> Dialect {
        match self.0 {
            Inner::Postgres(_) => Dialect::Postgres,
            Inner::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// The database's time. In PostgreSQL it is the start of the transaction.
    ///
    /// # Errors
    /// If the database is unavailable.
    pub async fn now(&mut self) -> Result<Time, sqlx::Error> {
        let row = self.sql("select {now}").fetch_one().await?;
        row.time(0)
    }

    /// Commits the transaction.
    ///
    /// # Errors
    /// If the database is unavailable. Whether the transaction was committed is then unknown.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        match self.0 {
            Inner::Postgres(tx) => tx.commit().await,
            Inner::Sqlite(tx) => tx.commit().await,
        }
    }

    /// Rolls the transaction back.
    ///
    /// # Errors
    /// If the database is unavailable. It then rolls back by itself.
    pub async fn rollback(self) -> Result<(), sqlx::Error> {
        match self.0 {
            Inner::Postgres(tx) => tx.rollback().await,
            Inner::Sqlite(tx) => tx.rollback().await,
        }
    }

    /// Opens the savepoint of a handler's call. There is one at a time.
    pub(crate) async fn savepoint(&mut self) -> Result<(), sqlx::Error> {
        self.sql("savepoint handler_call").execute().await.map(drop)
    }

    /// Keeps what was written since the savepoint.
    pub(crate) async fn release_savepoint(&mut self) -> Result<(), sqlx::Error> {
        self.sql("release savepoint handler_call")
            .execute()
            .await
            .map(drop)
    }

    /// Rolls back to the savepoint, which also clears the failed state that an error leaves behind.
    pub(crate) async fn rollback_to_savepoint(&mut self) -> Result<(), sqlx::Error> {
        self.sql("rollback to savepoint handler_call")
            .execute()
            .await?;
        self.release_savepoint().await
    }
}

/// A statement with its arguments.
#[derive(Debug)]
#[must_use = "a statement does nothing until it is executed or fetched"]
pub struct Statement<'t> {
    tx: &'t mut Tx,
    text: &'static str,
    arguments: Vec<SqlValue>,
    rows: Option<Rows>,
}

impl Statement<'_> {
    /// Binds the next argument: `$1`, then `$2` …
    pub fn bind(mut self, value: impl Into<SqlValue>) -> Self {
        self.arguments.push(value.into());
        self
    }

    /// Binds the rows that `{rows}` stands for.
    pub fn rows(mut self, rows: Rows) -> Self {
        self.rows = Some(rows);
        self
    }

    /// Executes the statement and returns the number of rows that it changed.
    ///
    /// # Errors
    /// An error of the database. After one PostgreSQL accepts no further statement in the transaction.
    pub async fn execute(self) -> Result<u64, sqlx::Error> {
        let text = AssertSqlSafe(self.dialect_text());
        match &mut self.tx.0 {
            Inner::Postgres(tx) => {
                let query = sqlx::query_with(text, postgres(self.arguments, self.rows)?);
                Ok((&mut **tx).execute(query).await?.rows_affected())
            }
            Inner::Sqlite(tx) => {
                let query = sqlx::query_with(text, sqlite(self.arguments, self.rows)?);
                Ok((&mut **tx).execute(query).await?.rows_affected())
            }
        }
    }

    /// Executes the statement and returns all its rows. Use `limit` where they may be many.
    ///
    /// # Errors
    /// An error of the database. After one PostgreSQL accepts no further statement in the transaction.
    pub async fn fetch(self) -> Result<Vec<Row>, sqlx::Error> {
        let text = AssertSqlSafe(self.dialect_text());
        match &mut self.tx.0 {
            Inner::Postgres(tx) => {
                let query = sqlx::query_with(text, postgres(self.arguments, self.rows)?);
                (&mut **tx)
                    .fetch_many(query)
                    .try_filter_map(async |item| Ok(item.right().map(Row::Postgres)))
                    .try_collect()
                    .await
            }
            Inner::Sqlite(tx) => {
                let query = sqlx::query_with(text, sqlite(self.arguments, self.rows)?);
                (&mut **tx)
                    .fetch_many(query)
                    .try_filter_map(async |item: Either<_, _>| Ok(item.right().map(Row::Sqlite)))
                    .try_collect()
                    .await
            }
        }
    }

    /// Executes the statement and returns its first row.
    ///
    /// # Errors
    /// As [`Statement::fetch`]; [`sqlx::Error::RowNotFound`] if there is no row.
    pub async fn fetch_one(self) -> Result<Row, sqlx::Error> {
        self.fetch()
            .await?
            .into_iter()
            .next()
            .ok_or(sqlx::Error::RowNotFound)
    }

    /// The text in the dialect of this database.
    fn dialect_text(&self) -> String {
        let dialect = self.tx.dialect();
        let mut text = Cow::Borrowed(self.text);

        if let Some(rows) = &self.rows {
            let first = self.arguments.len() + 1;
            let table = match dialect {
                Dialect::Postgres => rows.postgres_sql(first),
                Dialect::Sqlite => rows.sqlite_sql(first),
            };
            text = text.replace("{rows}", &table).into();
        }

        if text.contains('{') {
            let (now, for_update, skip_locked) = match dialect {
                Dialect::Postgres => ("now()", "for update", "for update skip locked"),
                Dialect::Sqlite => ("cast(unixepoch('subsec') * 1000000 as integer)", "", ""),
            };
            text = text
                .replace("{now}", now)
                .replace("{for_update}", for_update)
                .replace("{skip_locked}", skip_locked)
                .into();
        }
        text.into_owned()
    }
}

fn postgres(values: Vec<SqlValue>, rows: Option<Rows>) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    for value in values {
        match value {
            SqlValue::Uuid(id) => add::<Postgres, _>(&mut arguments, id)?,
            SqlValue::Text(text) => add::<Postgres, _>(&mut arguments, text)?,
            SqlValue::Int(number) => add::<Postgres, _>(&mut arguments, number)?,
            SqlValue::Time(time) => add::<Postgres, _>(&mut arguments, time.to_datetime())?,
        }
    }
    if let Some(rows) = rows {
        rows.add_to_postgres(&mut arguments)?;
    }
    Ok(arguments)
}

fn sqlite(values: Vec<SqlValue>, rows: Option<Rows>) -> Result<SqliteArguments, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        match value {
            SqlValue::Uuid(id) => add::<Sqlite, _>(&mut arguments, id)?,
            SqlValue::Text(text) => add::<Sqlite, _>(&mut arguments, text)?,
            SqlValue::Int(number) => add::<Sqlite, _>(&mut arguments, number)?,
            SqlValue::Time(time) => add::<Sqlite, _>(&mut arguments, time.micros())?,
        }
    }
    if let Some(rows) = rows {
        rows.add_to_sqlite(&mut arguments)?;
    }
    Ok(arguments)
}
