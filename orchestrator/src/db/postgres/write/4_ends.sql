-- How many sagas have finished, by workflow and status.
, ended as (
    insert into saga.finished (workflow, status, sagas)
    select workflow, status, count(*)
    from updated
    where ends
    group by workflow, status
)
