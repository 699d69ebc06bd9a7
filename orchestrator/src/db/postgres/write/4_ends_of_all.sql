-- How many sagas have finished, by workflow and status.
, ended as (
    insert into saga.finished (workflow, status, sagas)
    select e.workflow, e.status, count(*)
    from (select * from updated where ends union all select * from inserted where ends) e
    group by e.workflow, e.status
)
