//! Inserts many rows by few statements: `values` lists of a few fixed lengths, so that each statement is prepared once.

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{AssertSqlSafe, Error, Sqlite};

/// The lengths of the lists, longest first. Any of them stays within SQLite's limit of 32,766 parameters.
const LENGTHS: [usize; 3] = [64, 8, 1];

/// A statement to which parameters are bound.
pub(super) type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Runs `{before} values (?, …), … {after}` for all rows; `bind` binds the `columns` parameters of a row.
pub(super) async fn each<R>(
    connection: &mut SqliteConnection,
    (before, columns, after): (&str, usize, &str),
    mut rows: &[R],
    bind: impl for<'q> Fn(Statement<'q>, &'q R) -> Statement<'q>,
) -> Result<(), Error> {
    for length in LENGTHS {
        while rows.len() >= length {
            let (now, later) = rows.split_at(length);
            let row = format!("({})", vec!["?"; columns].join(","));
            let text = format!("{before} values {} {after}", vec![row; length].join(","));
            let statement = now.iter().fold(sqlx::query(AssertSqlSafe(text)), &bind);
            statement.execute(&mut *connection).await?;
            rows = later;
        }
    }
    Ok(())
}
