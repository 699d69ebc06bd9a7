-- Some are set, others only moved earlier.
, woken_exactly as (
    insert into saga.timers as w (saga_id, wake_at)
    select * from unnest($47::uuid[], $48::timestamptz[])
    where (select ok from checked)
    on conflict (saga_id) do update set wake_at = excluded.wake_at
),
woken_earlier as (
    insert into saga.timers as w (saga_id, wake_at)
    select * from unnest($49::uuid[], $50::timestamptz[])
    where (select ok from checked)
    on conflict (saga_id) do update set wake_at = excluded.wake_at where excluded.wake_at < w.wake_at
)
