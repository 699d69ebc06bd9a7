//! Many rows as one argument: what makes a batch one statement in PostgreSQL (`unnest`) and in SQLite (`json_each`).

use super::tx::Kind;
use saga_protocol::Time;
use serde_json::Value as Json;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments, Postgres, Sqlite, sqlite::SqliteArguments};
use std::fmt::Write as _;
use uuid::Uuid;

/// A table made of columns of equal length. In the text of a statement `{rows}` stands for it, and its alias is `s`:
///
/// `insert into tickets (saga_id, store) select s.saga_id, s.store from {rows} where true`
///
/// (SQLite needs the `where true` in front of an `on conflict`.)
#[derive(Debug, Default)]
pub struct Rows {
    columns: Vec<(&'static str, Column)>,
}

/// One column. Times are `timestamptz` in PostgreSQL, and microseconds since 1970 in SQLite.
#[derive(Debug)]
enum Column {
    Uuids(Vec<Uuid>),
    Texts(Vec<Option<String>>),
    Ints(Vec<i64>),
    Times(Vec<Option<Time>>),
}

impl Rows {
    /// Without columns yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A column of ids: `uuid`, in SQLite a blob of 16 bytes.
    #[must_use]
    pub fn uuids(mut self, name: &'static str, values: impl IntoIterator<Item = Uuid>) -> Self {
        self.columns
            .push((name, Column::Uuids(values.into_iter().collect())));
        self
    }

    /// A column of texts.
    #[must_use]
    pub fn texts<T: Into<String>>(
        mut self,
        name: &'static str,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        self.columns.push((
            name,
            Column::Texts(values.into_iter().map(|text| Some(text.into())).collect()),
        ));
        self
    }

    /// A column of texts, some of them null.
    #[must_use]
    pub fn opt_texts(
        mut self,
        name: &'static str,
        values: impl IntoIterator<Item = Option<String>>,
    ) -> Self {
        self.columns
            .push((name, Column::Texts(values.into_iter().collect())));
        self
    }

    /// A column of integers: `bigint`.
    #[must_use]
    pub fn ints(mut self, name: &'static str, values: impl IntoIterator<Item = i64>) -> Self {
        self.columns
            .push((name, Column::Ints(values.into_iter().collect())));
        self
    }

    /// A column of moments, some of them null.
    #[must_use]
    pub fn opt_times(
        mut self,
        name: &'static str,
        values: impl IntoIterator<Item = Option<Time>>,
    ) -> Self {
        self.columns
            .push((name, Column::Times(values.into_iter().collect())));
        self
    }

    /// What stands in the statement for the set, its first parameter having that number.
    pub(super) fn sql(&self, kind: Kind, first: usize) -> String {
        match kind {
            Kind::Postgres => self.unnest(first),
            Kind::Sqlite => self.json_each(first),
        }
    }

    fn unnest(&self, first: usize) -> String {
        let mut text = String::from("unnest(");
        for (n, (_, column)) in self.columns.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            let _ = write!(text, "{comma}${}::{}[]", first + n, column.postgres_type());
        }
        let names: Vec<_> = self.columns.iter().map(|(name, _)| *name).collect();
        let _ = write!(text, ") as s({})", names.join(", "));
        text
    }

    fn json_each(&self, first: usize) -> String {
        let mut text = String::from("(select ");
        for (n, (name, column)) in self.columns.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            let value = match column {
                Column::Uuids(_) => format!("unhex(value ->> {n})"),
                Column::Texts(_) | Column::Ints(_) | Column::Times(_) => format!("value ->> {n}"),
            };
            let _ = write!(text, "{comma}{value} as {name}");
        }
        let _ = write!(text, " from json_each(${first})) as s");
        text
    }

    pub(super) fn add_to_postgres(self, arguments: &mut PgArguments) -> Result<(), sqlx::Error> {
        for (_, column) in self.columns {
            match column {
                Column::Uuids(values) => add::<Postgres, _>(arguments, values)?,
                Column::Texts(values) => add::<Postgres, _>(arguments, values)?,
                Column::Ints(values) => add::<Postgres, _>(arguments, values)?,
                Column::Times(values) => {
                    let values: Vec<_> = values
                        .into_iter()
                        .map(|at| at.map(Time::to_datetime))
                        .collect();
                    add::<Postgres, _>(arguments, values)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn add_to_sqlite(self, arguments: &mut SqliteArguments) -> Result<(), sqlx::Error> {
        add::<Sqlite, _>(arguments, self.into_json().to_string())
    }

    fn into_json(self) -> Json {
        let mut rows: Vec<Vec<Json>> = Vec::new();
        for (_, column) in self.columns {
            let values: Vec<Json> = column.into_json();
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
                .map(|at| Json::from(at.map(Time::micros)))
                .collect(),
        }
    }
}

/// Adds one argument, with sqlx's own error for one that cannot be encoded.
pub(super) fn add<'t, DB: sqlx::Database, T>(
    arguments: &mut DB::Arguments,
    value: T,
) -> Result<(), sqlx::Error>
where
    T: sqlx::Encode<'t, DB> + sqlx::Type<DB>,
{
    arguments.add(value).map_err(sqlx::Error::Encode)
}
