-- The number of sagas that this batch finishes, by workflow and status.
, finished_counts as (
    insert into saga.finished (workflow, status, sagas)
    select e.workflow, e.status, count(*)
    from (select * from updated where finishes union all select * from inserted where finishes) e
    group by e.workflow, e.status
)
