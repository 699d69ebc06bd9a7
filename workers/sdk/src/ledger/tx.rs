//! A transaction of a worker's database, PostgreSQL or SQLite, with SQL written once for both.

use super::row::Row;
use super::rows::{Rows, add};
use futures::TryStreamExt;
use saga_protocol::Time;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Either, Executor, Postgres, Sqlite, Transaction};
use std::borrow::Cow;
use uuid::Uuid;

/// An open transaction. Dropped without a commit it is rolled back.
///
/// Statements use `$1`, `$2` … for [`Sql::bind`]; `{rows}` for a [`Rows`]; `{now}` for the database's time;
/// `{for_update}` and `{skip_locked}` for row locks, which SQLite, with one writer, needs none of.
#[derive(Debug)]
pub struct Tx(Inner);

#[derive(Debug)]
enum Inner {
    Postgres(Transaction<'static, Postgres>),
    Sqlite(Transaction<'static, Sqlite>),
}

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

/// One argument.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A `uuid`; in SQLite a blob of 16 bytes.
    Uuid(Uuid),
    /// A `text`.
    Text(String),
    /// A `bigint`.
    Int(i64),
    /// A `timestamptz`; in SQLite microseconds since 1970.
    Time(Time),
}

impl From<Uuid> for Value {
    fn from(value: Uuid) -> Self {
        Self::Uuid(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<Time> for Value {
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
    /// A statement, to be given its arguments and run.
    pub fn sql(&mut self, text: &'static str) -> Sql<'_> {
        Sql {
            tx: self,
            text,
            arguments: Vec::new(),
            set: None,
        }
    }

    /// Which database it is.
    pub const fn kind(&self) -> Kind {
        match self.0 {
            Inner::Postgres(_) => Kind::Postgres,
            Inner::Sqlite(_) => Kind::Sqlite,
        }
    }

    /// The database's time.
    ///
    /// # Errors
    /// If the database is gone.
    pub async fn now(&mut self) -> Result<Time, sqlx::Error> {
        let row = self.sql("select {now}").fetch_one().await?;
        row.time(0)
    }

    /// Makes all of it durable.
    ///
    /// # Errors
    /// If the database is gone: whether it was committed is then not known.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        match self.0 {
            Inner::Postgres(tx) => tx.commit().await,
            Inner::Sqlite(tx) => tx.commit().await,
        }
    }

    /// Takes all of it back.
    ///
    /// # Errors
    /// If the database is gone, which takes it back as well.
    pub async fn rollback(self) -> Result<(), sqlx::Error> {
        match self.0 {
            Inner::Postgres(tx) => tx.rollback().await,
            Inner::Sqlite(tx) => tx.rollback().await,
        }
    }

    /// Opens the savepoint that [`Tx::back_to_savepoint`] goes back to. There is one at a time.
    pub(crate) async fn savepoint(&mut self) -> Result<(), sqlx::Error> {
        self.sql("savepoint one_handler").execute().await.map(drop)
    }

    /// Keeps what was done since the savepoint.
    pub(crate) async fn release_savepoint(&mut self) -> Result<(), sqlx::Error> {
        self.sql("release savepoint one_handler")
            .execute()
            .await
            .map(drop)
    }

    /// Takes back what was done since the savepoint, and mends a transaction that an error has spoiled.
    pub(crate) async fn back_to_savepoint(&mut self) -> Result<(), sqlx::Error> {
        self.sql("rollback to savepoint one_handler")
            .execute()
            .await?;
        self.release_savepoint().await
    }
}

/// A statement with its arguments.
#[derive(Debug)]
#[must_use = "a statement does nothing until it is executed or fetched"]
pub struct Sql<'t> {
    tx: &'t mut Tx,
    text: &'static str,
    arguments: Vec<Value>,
    set: Option<Rows>,
}

impl Sql<'_> {
    /// The next argument: the first is `$1`.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.arguments.push(value.into());
        self
    }

    /// What `{rows}` stands for.
    pub fn rows(mut self, set: Rows) -> Self {
        self.set = Some(set);
        self
    }

    /// Runs it. Returns how many rows it changed.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn execute(self) -> Result<u64, sqlx::Error> {
        let text = self.dialect();
        match &mut self.tx.0 {
            Inner::Postgres(tx) => {
                let query =
                    sqlx::query_with(AssertSqlSafe(text), postgres(self.arguments, self.set)?);
                Ok((&mut **tx).execute(query).await?.rows_affected())
            }
            Inner::Sqlite(tx) => {
                let query =
                    sqlx::query_with(AssertSqlSafe(text), sqlite(self.arguments, self.set)?);
                Ok((&mut **tx).execute(query).await?.rows_affected())
            }
        }
    }

    /// Runs it and returns its rows. Whoever asks for many says `limit`.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn fetch(self) -> Result<Vec<Row>, sqlx::Error> {
        let text = self.dialect();
        match &mut self.tx.0 {
            Inner::Postgres(tx) => {
                let query =
                    sqlx::query_with(AssertSqlSafe(text), postgres(self.arguments, self.set)?);
                let rows = (&mut **tx).fetch_many(query);
                rows.try_filter_map(async |item| Ok(item.right().map(Row::Postgres)))
                    .try_collect()
                    .await
            }
            Inner::Sqlite(tx) => {
                let query =
                    sqlx::query_with(AssertSqlSafe(text), sqlite(self.arguments, self.set)?);
                let rows = (&mut **tx).fetch_many(query);
                rows.try_filter_map(async |item: Either<_, _>| Ok(item.right().map(Row::Sqlite)))
                    .try_collect()
                    .await
            }
        }
    }

    /// Runs it and returns its first row.
    ///
    /// # Errors
    /// Those of the database, and `RowNotFound`.
    pub async fn fetch_one(self) -> Result<Row, sqlx::Error> {
        self.fetch()
            .await?
            .into_iter()
            .next()
            .ok_or(sqlx::Error::RowNotFound)
    }

    /// The text in the words of this database.
    fn dialect(&self) -> String {
        let kind = self.tx.kind();
        let mut text = Cow::Borrowed(self.text);
        if let Some(set) = &self.set {
            text = text
                .replace("{rows}", &set.sql(kind, self.arguments.len() + 1))
                .into();
        }
        if text.contains('{') {
            let (now, for_update, skip_locked) = match kind {
                Kind::Postgres => ("now()", "for update", "for update skip locked"),
                Kind::Sqlite => ("cast(unixepoch('subsec') * 1000000 as integer)", "", ""),
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

fn postgres(values: Vec<Value>, set: Option<Rows>) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    for value in values {
        match value {
            Value::Uuid(id) => add::<Postgres, _>(&mut arguments, id)?,
            Value::Text(text) => add::<Postgres, _>(&mut arguments, text)?,
            Value::Int(number) => add::<Postgres, _>(&mut arguments, number)?,
            Value::Time(at) => add::<Postgres, _>(&mut arguments, at.to_datetime())?,
        }
    }
    if let Some(set) = set {
        set.add_to_postgres(&mut arguments)?;
    }
    Ok(arguments)
}

fn sqlite(values: Vec<Value>, set: Option<Rows>) -> Result<SqliteArguments, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        match value {
            Value::Uuid(id) => add::<Sqlite, _>(&mut arguments, id)?,
            Value::Text(text) => add::<Sqlite, _>(&mut arguments, text)?,
            Value::Int(number) => add::<Sqlite, _>(&mut arguments, number)?,
            Value::Time(at) => add::<Sqlite, _>(&mut arguments, at.micros())?,
        }
    }
    if let Some(set) = set {
        set.add_to_sqlite(&mut arguments)?;
    }
    Ok(arguments)
}
