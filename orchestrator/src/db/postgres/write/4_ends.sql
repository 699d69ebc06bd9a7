-- The number of sagas that this batch finishes, by workflow and status.
, finished_counts as (
    insert into saga.finished (workflow, status, sagas)
    select workflow, status, count(*)
    from updated
    where finishes
    group by workflow, status
)
