-- Some are set, others only moved earlier.
, woken_exactly as (
    insert into saga.timers as w (saga_id, due_at)
    select * from unnest($47::uuid[], $48::timestamptz[])
    where (select ok from checked)
    on conflict (saga_id) do update set due_at = excluded.due_at
),
woken_earlier as (
    insert into saga.timers as w (saga_id, due_at)
    select * from unnest($49::uuid[], $50::timestamptz[])
    where (select ok from checked)
    on conflict (saga_id) do update set due_at = excluded.due_at where excluded.due_at < w.due_at
)
