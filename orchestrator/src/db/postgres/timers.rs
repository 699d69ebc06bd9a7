//! Timers: claimed by a short statement that moves them ahead and holds nothing.

use super::sessions::{Sessions, answer};
use crate::db::{CLAIM, Claimed, DbError};
use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

/// Most timers looked at for each that is asked for: nearly all sagas finish before theirs comes due, and what is
/// left of them is swept here.
const LOOK: i64 = 8;

/// Of the due ones that nobody else has in hand: those of finished sagas go, those of the others are moved ahead, and
/// up to `$1` of them are returned. `next` is now if there may be more.
const CLAIM_WAKE_UPS: &str = "
with clock as materialized (
    select clock_timestamp() as now
),
seen as materialized (
    select w.saga_id
    from saga.timers w
    where w.next_timer_at <= (select now from clock)
    order by w.next_timer_at
    limit $2
    for update skip locked
),
judged as materialized (
    select seen.saga_id, s.id is null or s.finished_at is not null as over
    from seen left join saga.sagas s on s.id = seen.saga_id
),
swept as (
    delete from saga.timers w using judged j where w.saga_id = j.saga_id and j.over
),
claimed as (
    update saga.timers w
    set next_timer_at = (select now from clock) + $3
    from (select saga_id from judged where not over limit $1) j
    where w.saga_id = j.saga_id
    returning w.saga_id
)
select
    (select now from clock) as now,
    coalesce((select array_agg(saga_id) from claimed), '{}') as due,
    (select count(*) from seen) = $2 or (select count(*) from judged where not over) > $1 as more,
    (select w.next_timer_at from saga.timers w
     where w.next_timer_at > (select now from clock) order by w.next_timer_at limit 1) as later";

#[derive(FromRow)]
struct ClaimRow {
    now: DateTime<Utc>,
    due: Vec<Uuid>,
    more: bool,
    later: Option<DateTime<Utc>>,
}

/// Takes due timers.
pub(super) async fn claim(engine: &Sessions, limit: u32) -> Result<Claimed, DbError> {
    let query = sqlx::query_as(CLAIM_WAKE_UPS)
        .bind(i64::from(limit))
        .bind(i64::from(limit) * LOOK)
        .bind(CLAIM);
    let mut session = engine.take().await?;
    let row: Result<ClaimRow, _> = answer(query.fetch_one(&mut *session)).await;
    let row = session.settle(row)?;
    let now = row.now.into();
    let claimed_again = (!row.due.is_empty()).then_some(now + CLAIM);
    let next = if row.more {
        Some(now)
    } else {
        row.later
            .map(Into::into)
            .into_iter()
            .chain(claimed_again)
            .min()
    };
    Ok(Claimed {
        due: row.due,
        next,
        now,
    })
}
