//! A row that a statement returned, the same to read from either database.

use saga_protocol::Time;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Decode, Postgres, Row as _, Sqlite, Type};
use uuid::Uuid;

/// A row; its columns are counted from 0.
#[derive(Debug)]
pub enum Row {
    /// Of PostgreSQL.
    Postgres(PgRow),
    /// Of SQLite.
    Sqlite(SqliteRow),
}

impl Row {
    /// A `uuid`.
    ///
    /// # Errors
    /// If the column is another type, or null.
    pub fn uuid(&self, column: usize) -> Result<Uuid, sqlx::Error> {
        self.get(column)
    }

    /// A `text`.
    ///
    /// # Errors
    /// If the column is another type, or null.
    pub fn text(&self, column: usize) -> Result<String, sqlx::Error> {
        self.get(column)
    }

    /// A `text`, or null.
    ///
    /// # Errors
    /// If the column is another type.
    pub fn opt_text(&self, column: usize) -> Result<Option<String>, sqlx::Error> {
        self.get(column)
    }

    /// A `bigint`.
    ///
    /// # Errors
    /// If the column is another type, or null.
    pub fn int(&self, column: usize) -> Result<i64, sqlx::Error> {
        self.get(column)
    }

    /// A moment.
    ///
    /// # Errors
    /// If the column is another type, or null.
    pub fn time(&self, column: usize) -> Result<Time, sqlx::Error> {
        self.opt_time(column)?.ok_or(sqlx::Error::RowNotFound)
    }

    /// A moment, or null.
    ///
    /// # Errors
    /// If the column is another type.
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
