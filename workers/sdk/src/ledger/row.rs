//! A row that a statement returned, read in the same way from either database.

use saga_protocol::Time;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Decode, Postgres, Row as _, Sqlite, Type};
use uuid::Uuid;

/// A row of a result. Columns are numbered from 0.
#[derive(Debug)]
pub enum Row {
    /// A row of PostgreSQL.
    Postgres(PgRow),
    /// A row of SQLite.
    Sqlite(SqliteRow),
}

impl Row {
    /// A `uuid`; in SQLite a blob of 16 bytes.
    ///
    /// # Errors
    /// If the column does not exist, has another type, or is null.
    pub fn uuid(&self, column: usize) -> Result<Uuid, sqlx::Error> {
        self.get(column)
    }

    /// A `text`.
    ///
    /// # Errors
    /// If the column does not exist, has another type, or is null.
    pub fn text(&self, column: usize) -> Result<String, sqlx::Error> {
        self.get(column)
    }

    /// A `text`, or `None` for null.
    ///
    /// # Errors
    /// If the column does not exist or has another type.
    pub fn opt_text(&self, column: usize) -> Result<Option<String>, sqlx::Error> {
        self.get(column)
    }

    /// A `bigint`. Cast an `integer` of PostgreSQL in the statement.
    ///
    /// # Errors
    /// If the column does not exist, has another type, or is null.
    pub fn int(&self, column: usize) -> Result<i64, sqlx::Error> {
        self.get(column)
    }

    /// A `timestamptz`; in SQLite an integer of microseconds since 1970.
    ///
    /// # Errors
    /// If the column does not exist, has another type, or is null.
    pub fn time(&self, column: usize) -> Result<Time, sqlx::Error> {
        self.opt_time(column)?.ok_or(sqlx::Error::RowNotFound)
    }

    /// A `timestamptz`, or `None` for null; in SQLite an integer of microseconds since 1970.
    ///
    /// # Errors
    /// If the column does not exist or has another type.
    pub fn opt_time(&self, column: usize) -> Result<Option<Time>, sqlx::Error> {
        match self {
            Self::Postgres(row) => Ok(row
                .try_get::<Option<DateTime<Utc>>, _>(column)?
                .map(Time::from)),
            Self::Sqlite(row) => Ok(row
                .try_get::<Option<i64>, _>(column)?
                .map(Time::from_micros)),
        }
    }

    fn get<T>(&self, column: usize) -> Result<T, sqlx::Error>
    where
        T: for<'r> Decode<'r, Postgres>
            + Type<Postgres>
            + for<'r> Decode<'r, Sqlite>
            + Type<Sqlite>,
    {
        match self {
            Self::Postgres(row) => row.try_get(column),
            Self::Sqlite(row) => row.try_get(column),
        }
    }
}
