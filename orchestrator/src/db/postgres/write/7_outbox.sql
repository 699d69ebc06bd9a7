, acknowledged as (
    delete from saga.outbox where id = any ($7::uuid[]) and (select ok from checked)
),
outbox_row as (
    insert into saga.outbox (id, owner, messages)
    select $1::uuid, $2::uuid, $3::bytea where (select ok from checked)
)
select (select ok from checked) as ok, clock_timestamp() as now
