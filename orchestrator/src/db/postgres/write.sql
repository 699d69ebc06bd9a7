-- Writes a batch: all of it if every saga is still as it was read, else nothing.
--
-- `locked` runs first, since all else asks `checked`: it waits for other writers, and then sees the newest version of each
-- row, whatever the statement's snapshot. Locks are taken in one order by everybody: sagas by id, idempotency keys,
-- business keys (`inserted` waits for `taken`), wake-ups, outbox.
with locked as materialized (
    select s.id, s.revision, s.ignored
    from saga.sagas s
    where s.id = any ($4::uuid[])
    order by s.id
    for update
),
checked as materialized (
    -- Both sides are sorted by id.
    select coalesce(array_agg(id), '{}') = $4::uuid[]
       and coalesce(array_agg(revision), '{}') = $5::bigint[]
       and coalesce(array_agg(ignored), '{}') = $6::bigint[] as ok
    from locked
),
taken as (
    insert into saga.idempotency (scope, key, body_hash, saga_id, answer, at)
    select * from unnest($8::text[], $9::text[], $10::bytea[], $11::uuid[], $12::bytea[], $13::timestamptz[])
    where (select ok from checked)
    returning 1
),
inserted as (
    insert into saga.sagas (
        id, workflow, version, key, correlation_id, started_at, deadline, input,
        revision, ignored, status, paused, current, error_code, updated_at, finished_at, state, format)
    select i.*, $51::integer
    from unnest(
        $14::uuid[], $15::text[], $16::bigint[], $17::text[], $18::text[], $19::timestamptz[], $20::timestamptz[],
        $21::bytea[], $22::bigint[], $23::bigint[], $24::text[], $25::boolean[], $26::text[], $27::text[],
        $28::timestamptz[], $29::timestamptz[], $30::bytea[]) as i
    where (select ok from checked) and (select count(*) from taken) >= 0
    returning workflow, status, finished_at is not null as ends
),
updated as (
    update saga.sagas s
    set revision = u.revision, ignored = u.ignored, status = u.status, paused = u.paused, current = u.current,
        error_code = u.error_code, updated_at = u.updated_at, finished_at = u.finished_at, state = u.state,
        format = $51::integer
    from unnest(
        $31::uuid[], $32::bigint[], $33::bigint[], $34::text[], $35::boolean[], $36::text[], $37::text[],
        $38::timestamptz[], $39::timestamptz[], $40::bytea[], $41::boolean[])
        as u (id, revision, ignored, status, paused, current, error_code, updated_at, finished_at, state, ends)
    where s.id = u.id and (select ok from checked)
    returning s.workflow, s.status, u.ends
),
ended as (
    insert into saga.finished (workflow, status, sagas)
    select e.workflow, e.status, count(*)
    from (select * from updated where ends union all select * from inserted where ends) e
    group by e.workflow, e.status
),
remembered as (
    insert into saga.history (saga_id, revision, n, at, entry)
    select * from unnest($42::uuid[], $43::bigint[], $44::bigint[], $45::timestamptz[], $46::bytea[])
    where (select ok from checked)
),
woken_exactly as (
    insert into saga.wake_ups as w (saga_id, wake_at)
    select * from unnest($47::uuid[], $48::timestamptz[])
    where (select ok from checked)
    on conflict (saga_id) do update set wake_at = excluded.wake_at
),
woken_earlier as (
    insert into saga.wake_ups as w (saga_id, wake_at)
    select * from unnest($49::uuid[], $50::timestamptz[])
    where (select ok from checked)
    on conflict (saga_id) do update set wake_at = excluded.wake_at where excluded.wake_at < w.wake_at
),
published as (
    delete from saga.outbox where id = any ($7::uuid[]) and (select ok from checked)
),
to_publish as (
    insert into saga.outbox (id, owner, messages)
    select $1::uuid, $2::uuid, $3::bytea where (select ok from checked)
)
select (select ok from checked) as ok, clock_timestamp() as now
