//! Many rows as one argument: `unnest` in PostgreSQL, `json_each` in SQLite. This is what makes a
//! batch one statement.

use saga_protocol::Time;
use serde_json::Value as Json;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, Postgres, Sqlite};
use std::fmt::Write as _;
use uuid::Uuid;

/// Rows to be bound to a statement, column by column. All columns must have the same length.
///
/// In the text of a statement `{rows}` stands for them, under the alias `r`:
///
/// ```sql
/// insert into tickets (saga_id, store) select r.saga_id, r.store from {rows} where true
/// ```
///
/// The `where true` is needed by SQLite in front of an `on conflict`.
#[derive(Debug, Default)]
pub struct Rows {
    columns: Vec<(&'static str, Column)>,
}

/// One column. Times are `timestamptz` in PostgreSQL and microseconds since 1970 in SQLite.
#[derive(Debug)]
enum Column {
    Uuids(Vec<Uuid>),
    Texts(Vec<Option<String>>),
    Ints(Vec<i64>),
    Times(Vec<Option<Time>>),
}

impl Rows {
    /// Rows without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column of `uuid`; in SQLite blobs of 16 bytes.
    #[must_use]
    pub fn uuids(self, name: &'static str, values: impl IntoIterator<Item = Uuid>) -> Self {
        self.with(name, Column::Uuids(values.into_iter().collect()))
    }

    /// Adds a column of `text`.
    #[must_use]
    pub fn texts<T: Into<String>>(
        self,
        name: &'static str,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        let values = values.into_iter().map(|text| Some(text.into()));
        self.with(name, Column::Texts(values.collect()))
    }

    /// Adds a column of `text` with nulls.
    #[must_use]
    pub fn opt_texts(
        self,
        name: &'static str,
        values: impl IntoIterator<Item = Option<String>>,
    ) -> Self {
        self.with(name, Column::Texts(values.into_iter().collect()))
    }

    /// Adds a column of `bigint`.
    #[must_use]
    pub fn ints(self, name: &'static str, values: impl IntoIterator<Item = i64>) -> Self {
        self.with(name, Column::Ints(values.into_iter().collect()))
    }

    /// Adds a column of `timestamptz` with nulls; in SQLite integers.
    #[must_use]
    pub fn opt_times(
        self,
        name: &'static str,
        values: impl IntoIterator<Item = Option<Time>>,
    ) -> Self {
        self.with(name, Column::Times(values.into_iter().collect()))
    }

    fn with(mut self, name: &'static str, column: Column) -> Self {
        self.columns.push((name, column));
        self
    }

    /// The table expression for PostgreSQL: one parameter per column, from `$first`.
    pub(super) fn postgres_sql(&self, first: usize) -> String {
        let mut sql = String::from("unnest(");
        for (n, (_, column)) in self.columns.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            let _ = write!(sql, "{comma}${}::{}[]", first + n, column.postgres_type());
        }
        let names: Vec<_> = self.columns.iter().map(|(name, _)| *name).collect();
        let _ = write!(sql, ") as r({})", names.join(", "));
        sql
    }

    /// The table expression for SQLite: one parameter, `$number`, with all rows as JSON.
    pub(super) fn sqlite_sql(&self, number: usize) -> String {
        let mut sql = String::from("(select ");
        for (n, (name, column)) in self.columns.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            let value = match column {
                Column::Uuids(_) => format!("unhex(value ->> {n})"),
                Column::Texts(_) | Column::Ints(_) | Column::Times(_) => format!("value ->> {n}"),
            };
            let _ = write!(sql, "{comma}{value} as {name}");
        }
        let _ = write!(sql, " from json_each(${number})) as r");
        sql
    }

    pub(super) fn add_to_postgres(self, arguments: &mut PgArguments) -> Result<(), sqlx::Error> {
        for (_, column) in self.columns {
            match column {
                Column::Uuids(values) => add::<Postgres, _>(arguments, values)?,
                Column::Texts(values) => add::<Postgres, _>(arguments, values)?,
                Column::Ints(values) => add::<Postgres, _>(arguments, values)?,
                Column::Times(values) => {
                    let times = values.into_iter().map(|time| time.map(Time::to_datetime));
                    add::<Postgres, _>(arguments, times.collect::<Vec<_>>())?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn add_to_sqlite(self, arguments: &mut SqliteArguments) -> Result<(), sqlx::Error> {
        add::<Sqlite, _>(arguments, self.into_json().to_string())
    }

    /// An array per row.
    fn into_json(self) -> Json {
        let mut rows: Vec<Vec<Json>> = Vec::new();
        for (_, column) in self.columns {
            let values = column.into_json();
            rows.resize_with(rows.len().max(values.len()), Vec::new);
            for (row, value) in rows.iter_mut().zip(values) {
                row.push(value);
            }
        }
        rows.into()
    }
}

impl Column {
    const fn postgres_type(&self) -> &'static str {
        match self {
            Self::Uuids(_) => "uuid",
            Self::Texts(_) => "text",
            Self::Ints(_) => "int8",
            Self::Times(_) => "timestamptz",
        }
    }

    fn into_json(self) -> Vec<Json> {
        match self {
            Self::Uuids(values) => values
                .into_iter()
                .map(|id| Json::from(id.simple().to_string()))
                .collect(),
            Self::Texts(values) => values.into_iter().map(Json::from).collect(),
            Self::Ints(values) => values.into_iter().map(Json::from).collect(),
            Self::Times(values) => values
                .into_iter()
                .map(|time| Json::from(time.map(Time::micros)))
                .collect(),
        }
    }
}

/// Adds one argument. One that cannot be encoded is sqlx's own error.
pub(super) fn add<'t, DB: sqlx::Database, T>(
    arguments: &mut DB::Arguments,
    value: T,
) -> Result<(), sqlx::Error>
where
    T: sqlx::Encode<'t, DB> + sqlx::Type<DB>,
{
    arguments.add(value).map_err(sqlx::Error::Encode)
}
