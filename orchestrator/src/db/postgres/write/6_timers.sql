-- Timers that fired are set anew, others are only moved to an earlier time.
, set_timers as (
    insert into saga.timers as t (saga_id, due_at)
    select * from unnest($47::uuid[], $48::timestamptz[])
    where (select ok from checked)
    on conflict (saga_id) do update set due_at = excluded.due_at
),
moved_timers as (
    insert into saga.timers as t (saga_id, due_at)
    select * from unnest($49::uuid[], $50::timestamptz[])
    where (select ok from checked)
    on conflict (saga_id) do update set due_at = excluded.due_at where excluded.due_at < t.due_at
)
