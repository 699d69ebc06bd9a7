, updated as (
    update saga.sagas s
    set revision = u.revision, ignored = u.ignored, status = u.status, paused = u.paused, current = u.current,
        error_code = u.error_code, updated_at = u.updated_at, finished_at = u.finished_at, state = u.state,
        format = $51::integer
    from unnest(
        $31::uuid[], $32::bigint[], $33::bigint[], $34::text[], $35::boolean[], $36::text[], $37::text[],
        $38::timestamptz[], $39::timestamptz[], $40::bytea[], $41::boolean[])
        as u (id, revision, ignored, status, paused, current, error_code, updated_at, finished_at, state, finishes)
    where s.id = u.id and (select ok from checked)
    returning s.workflow, s.status, u.finishes
)
