, history_rows as (
    insert into saga.history (saga_id, revision, n, at, entry)
    select * from unnest($42::uuid[], $43::bigint[], $44::bigint[], $45::timestamptz[], $46::bytea[])
    where (select ok from checked)
)
