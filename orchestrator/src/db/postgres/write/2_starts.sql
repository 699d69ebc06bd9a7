-- Every writer locks in the same order, so that no two deadlock: sagas by id, idempotency keys, business keys (`inserted`
-- waits for `new_keys`), timers, outbox.
, new_keys as (
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
    where (select ok from checked) and (select count(*) from new_keys) >= 0
    returning workflow, status, finished_at is not null as finishes
)
