-- Writes a batch: all of it if every saga is still as it was loaded, else nothing. The parts in this folder form one statement.
--
-- `locked` runs first, since every other part reads `checked`. It waits for other writers and then sees the newest version of
-- each row, whatever the statement's snapshot is.
with locked as materialized (
    select s.id, s.revision, s.ignored
    from saga.sagas s
    where s.id = any ($4::uuid[])
    order by s.id
    for update
),
checked as materialized (
    -- Both sides are sorted by id.
    select coalesce(array_agg(id), '{}') = $4::uuid[]
       and coalesce(array_agg(revision), '{}') = $5::bigint[]
       and coalesce(array_agg(ignored), '{}') = $6::bigint[] as ok
    from locked
)
