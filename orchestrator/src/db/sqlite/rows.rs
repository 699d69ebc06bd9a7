//! Many rows by few statements: `values` lists of some fixed lengths, so that each statement is prepared once.

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{AssertSqlSafe, Error, Sqlite};

/// The lengths of the lists, longest first; the sum of any of them is within SQLite's limit of 32,766 parameters.
const LENGTHS: [usize; 3] = [64, 8, 1];

/// A statement being filled.
pub(super) type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Runs `{before} values (?, …), … {after}` over all rows, `columns` parameters each, which `bind` adds.
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
