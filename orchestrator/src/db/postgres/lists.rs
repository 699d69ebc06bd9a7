//! Pages of sagas, newest first. Every filter either uses an index or scans a bounded number of sagas per page.
//!
//! - no filter: the primary key, from its end.
//! - `status`, `workflow`, `step`: the index on (workflow, status, id), one range per pair, merged. A step is in progress only
//!   in an unfinished saga, so `step` scans unfinished sagas only.
//! - `key`: the unique index. `q`: ranges of the primary key, of the unique index, and of the index on correlation ids.
//! - `since` and `until`: a range of ids, which start with their time of creation; within it, `started_at`.
//!
//! If a filter has no index of its own (`step`, the edges of `since` and `until`, other filters together with `q`), a page
//! ends after [`MAX_SCANNED`] sagas: it may be short or empty and still have a `next`.

use super::sessions::{Session, Sessions, answer};
use crate::db::{DbError, ListFilter, SagaPage};
use chrono::{DateTime, Utc};
use saga_core::saga::Status;
use saga_protocol::Time;
use sqlx::Error;
use std::time::Duration;
use uuid::Uuid;

/// Sagas scanned per page and index range: a tenth of a second if they are in memory.
const MAX_SCANNED: i64 = 20_000;
/// Sagas that a search takes from each of its indexes: those with the highest ids, keys, correlation ids.
const MAX_SEARCHED: i64 = 2_000;
/// How far the clock that ids are created by may be from the database's. `since` and `until` extend their range by it.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Parameters of all statements below: `$1` ids below, `$2` ids from, `$3` the number to scan, `$4` the number to return,
/// `$5` since, `$6` until, `$7` the step.
macro_rules! holds {
    ($saga:literal) => {
        concat!(
            "($5::timestamptz is null or ",
            $saga,
            ".started_at >= $5)
            and ($6::timestamptz is null or ",
            $saga,
            ".started_at < $6)
            and ($7::text is null or $7 = any (string_to_array(",
            $saga,
            ".current, ' '))) "
        )
    };
}

const NEWEST: &str = concat!(
    "select s.id, s.state
    from (select * from saga.sagas where id < $1 and id >= $2 order by id desc limit $3) s
    where ",
    holds!("s"),
    "order by s.id desc limit $4"
);
const NEWEST_END: &str = "
select id from saga.sagas where id < $1 and id >= $2 order by id desc offset $3 - 1 limit 1";

/// `$8` and `$9`: pairs of workflow and status. Not `status = …`: with this condition and order only the index on these columns
/// applies. Otherwise the planner may scan the primary key, past millions of rows, for a rare status.
const IN_RANGES: &str = concat!(
    "select s.id, s.state
    from unnest($8::text[], $9::text[]) as r (workflow, status)
    cross join lateral (
        select c.id, c.state
        from (
            select * from saga.sagas
            where workflow = r.workflow and status >= r.status and (status, id) < (r.status, $1)
            order by status desc, id desc limit $3) c
        where c.id >= $2 and ",
    holds!("c"),
    "order by c.status desc, c.id desc limit $4) s
    order by s.id desc limit $4"
);
const IN_RANGES_END: &str = "
select max(e.id::text)::uuid
from unnest($4::text[], $5::text[]) as r (workflow, status)
cross join lateral (
    select id from saga.sagas
    where workflow = r.workflow and status >= r.status and (status, id) < (r.status, $1)
    order by status desc, id desc offset $3 - 1 limit 1) e
where e.id >= $2";

/// `$8` the workflows, `$9` the statuses, `$10` the key.
const BY_KEY: &str = concat!(
    "select s.id, s.state
    from unnest($8::text[]) as w (workflow)
    join saga.sagas s on s.workflow = w.workflow and s.key = $10
    where s.id < $1 and s.id >= $2 and s.status = any ($9::text[]) and ",
    holds!("s"),
    "order by s.id desc limit least($3, $4)"
);

/// `$8` the workflows, `$9` the statuses, `$10` the prefix and `$11` the end of its range, `$12` and `$13` the range of ids,
/// `$14` the exact key, if the filter has one.
const SEARCH: &str = concat!(
    "with by_id as (
        select id from saga.sagas
        where id >= $12::uuid and id <= $13::uuid and id < $1 and id >= $2 order by id desc limit $3
    ),
    found as (
        select id from by_id
        union
        select k.id from unnest($8::text[]) as w (workflow) cross join lateral (
            select id from saga.sagas
            where workflow = w.workflow and key >= $10 and key < $11 order by key desc limit $3) k
        union
        select c.id from (
            select id from saga.sagas
            where correlation_id >= $10 and correlation_id < $11 order by correlation_id desc limit $3) c
    )
    select s.id, s.state
    from found f join saga.sagas s on s.id = f.id
    where s.id < $1 and s.id >= $2 and s.workflow = any ($8) and s.status = any ($9)
      and ($14::text is null or s.key = $14) and ",
    holds!("s"),
    "order by s.id desc limit $4"
);
const SEARCH_END: &str = "
select id from saga.sagas
where id >= $4::uuid and id <= $5::uuid and id < $1 and id >= $2 order by id desc offset $3 - 1 limit 1";

/// All workflows that have sagas: one index lookup per workflow.
const WORKFLOWS: &str = "
with recursive workflows as (
    (select workflow from saga.sagas order by workflow limit 1)
    union all
    select (select s.workflow from saga.sagas s where s.workflow > w.workflow order by s.workflow limit 1)
    from workflows w where w.workflow is not null
)
select workflow from workflows where workflow is not null";

pub(super) async fn list(readers: &Sessions, filter: &ListFilter) -> Result<SagaPage, DbError> {
    let parameters = FilterParameters::new(filter);
    let mut session = readers.acquire().await?;
    let page = answer(page(&mut session, filter, &parameters)).await;
    let (rows, end) = session.release(page)?;
    Ok(SagaPage::up_to(rows, filter.limit, end))
}

/// The filter as parameters of the statements.
struct FilterParameters<'a> {
    below: Uuid,
    from: Uuid,
    statuses: Vec<&'static str>,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    step: Option<&'a str>,
}

impl<'a> FilterParameters<'a> {
    fn new(filter: &'a ListFilter) -> Self {
        let asked = |status: &&Status| filter.status.is_empty() || filter.status.contains(status);
        let possible = |status: &&Status| filter.step.is_none() || !status.is_finished();
        let statuses = Status::ALL
            .iter()
            .filter(asked)
            .filter(possible)
            .map(|status| status.as_str())
            .collect();
        let below_until = filter.until.map(|until| first_id_at(until + CLOCK_SKEW));
        Self {
            below: filter
                .before
                .into_iter()
                .chain(below_until)
                .min()
                .unwrap_or(Uuid::max()),
            from: filter
                .since
                .map_or(Uuid::nil(), |since| first_id_at(before(since, CLOCK_SKEW))),
            statuses,
            since: filter.since.map(Time::to_datetime),
            until: filter.until.map(Time::to_datetime),
            step: filter.step.as_deref(),
        }
    }

    /// Whether the filter has a condition without an index, so that scanning may end before the page is full.
    fn scans(&self) -> bool {
        self.since.is_some() || self.until.is_some() || self.step.is_some()
    }
}

type Rows = Vec<(Uuid, Vec<u8>)>;

/// The sagas of the page, and the last id scanned if the scan ended before the page was full.
async fn page(
    session: &mut Session<'_>,
    filter: &ListFilter,
    parameters: &FilterParameters<'_>,
) -> Result<(Rows, Option<Uuid>), Error> {
    if let Some(q) = &filter.q {
        let workflows = workflows(session, filter).await?;
        return search(session, filter, parameters, q, &workflows).await;
    }
    if let Some(key) = &filter.key {
        let workflows = workflows(session, filter).await?;
        let query = bound(BY_KEY, parameters, MAX_SCANNED, filter)
            .bind(workflows)
            .bind(&parameters.statuses)
            .bind(key);
        return Ok((query.fetch_all(&mut **session).await?, None));
    }
    if filter.workflow.is_none() && filter.status.is_empty() && filter.step.is_none() {
        let rows = bound(NEWEST, parameters, MAX_SCANNED, filter)
            .fetch_all(&mut **session)
            .await?;
        let end = sqlx::query_scalar(NEWEST_END)
            .bind(parameters.below)
            .bind(parameters.from)
            .bind(MAX_SCANNED);
        let end = if parameters.scans() {
            end.fetch_optional(&mut **session).await?
        } else {
            None
        };
        return Ok((rows, end));
    }
    let workflows = workflows(session, filter).await?;
    let (workflows_of_pairs, statuses) = pairs(&workflows, &parameters.statuses);
    let rows = bound(IN_RANGES, parameters, MAX_SCANNED, filter)
        .bind(&workflows_of_pairs)
        .bind(&statuses)
        .fetch_all(&mut **session)
        .await?;
    let end = sqlx::query_scalar(IN_RANGES_END)
        .bind(parameters.below)
        .bind(parameters.from)
        .bind(MAX_SCANNED)
        .bind(workflows_of_pairs)
        .bind(statuses);
    let end = if parameters.scans() {
        end.fetch_one(&mut **session).await?
    } else {
        None
    };
    Ok((rows, end))
}

async fn search(
    session: &mut Session<'_>,
    filter: &ListFilter,
    parameters: &FilterParameters<'_>,
    q: &str,
    workflows: &[String],
) -> Result<(Rows, Option<Uuid>), Error> {
    let (first, last) = ids_with_prefix(q).unwrap_or((Uuid::max(), Uuid::nil()));
    let rows = bound(SEARCH, parameters, MAX_SEARCHED, filter)
        .bind(workflows)
        .bind(&parameters.statuses)
        .bind(q)
        .bind(end_of_prefix(q))
        .bind(first)
        .bind(last)
        .bind(&filter.key)
        .fetch_all(&mut **session)
        .await?;
    let end = sqlx::query_scalar(SEARCH_END)
        .bind(parameters.below)
        .bind(parameters.from)
        .bind(MAX_SEARCHED)
        .bind(first)
        .bind(last);
    Ok((rows, end.fetch_optional(&mut **session).await?))
}

type PageQuery<'q> =
    sqlx::query::QueryAs<'q, sqlx::Postgres, (Uuid, Vec<u8>), sqlx::postgres::PgArguments>;

fn bound<'q>(
    statement: &'static str,
    parameters: &'q FilterParameters<'_>,
    look: i64,
    filter: &ListFilter,
) -> PageQuery<'q> {
    sqlx::query_as(statement)
        .bind(parameters.below)
        .bind(parameters.from)
        .bind(look)
        .bind(i64::from(filter.limit) + 1)
        .bind(parameters.since)
        .bind(parameters.until)
        .bind(parameters.step)
}

async fn workflows(session: &mut Session<'_>, filter: &ListFilter) -> Result<Vec<String>, Error> {
    match &filter.workflow {
        Some(workflow) => Ok(vec![workflow.clone()]),
        None => {
            sqlx::query_scalar(WORKFLOWS)
                .fetch_all(&mut **session)
                .await
        }
    }
}

/// Every pair of a workflow and a status.
fn pairs<'a>(
    workflows: &'a [String],
    statuses: &[&'static str],
) -> (Vec<&'a str>, Vec<&'static str>) {
    workflows
        .iter()
        .flat_map(|workflow| statuses.iter().map(move |status| (&workflow[..], *status)))
        .unzip()
}

/// The lowest UUIDv7 of that time: the first 48 bits are milliseconds since 1970.
fn first_id_at(at: Time) -> Uuid {
    let millis = u128::try_from(at.micros() / 1000).unwrap_or(0);
    Uuid::from_u128(millis << 80)
}

fn before(at: Time, by: Duration) -> Time {
    Time::from_micros(
        at.micros()
            .saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)),
    )
}

/// The lowest and the highest id with that prefix; dashes may be omitted.
fn ids_with_prefix(text: &str) -> Option<(Uuid, Uuid)> {
    let digits = text.replace('-', "");
    let fits = !digits.is_empty()
        && digits.len() <= 32
        && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let filled_with = |digit: char| {
        let rest = std::iter::repeat_n(digit, 32 - digits.len());
        Uuid::parse_str(&digits.chars().chain(rest).collect::<String>()).ok()
    };
    if fits {
        filled_with('0').zip(filled_with('f'))
    } else {
        None
    }
}

/// A text that sorts after every text with that prefix, byte by byte, as collation "C" does.
fn end_of_prefix(prefix: &str) -> String {
    format!("{prefix}\u{10FFFF}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_prefix_is_a_range_of_ids() {
        let (first, last) = ids_with_prefix("0193-F").expect("it can begin an id");
        assert_eq!(first.to_string(), "0193f000-0000-0000-0000-000000000000");
        assert_eq!(last.to_string(), "0193ffff-ffff-ffff-ffff-ffffffffffff");
        assert_eq!(ids_with_prefix("order-7"), None);
        assert_eq!(ids_with_prefix(""), None);
        assert_eq!(ids_with_prefix(&"0".repeat(33)), None);
    }

    #[test]
    fn first_id_at_encodes_milliseconds() {
        let id = first_id_at(Time::from_micros(1_700_000_000_123_456));
        assert_eq!(id.as_u128() >> 80, 1_700_000_000_123);
        assert_eq!(first_id_at(Time::from_micros(-5)), Uuid::nil());
    }
}
