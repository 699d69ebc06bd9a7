-- The engine's tables in embedded mode: one process, one writer. They equal PostgreSQL's, and migrations/postgres has the
-- reasons for each table and index. Comments here explain the differences.
--
-- Ids are blobs of 16 bytes, times are microseconds since 1970, payloads and state are blobs. The tables are `strict`, so that
-- columns have the declared type. Texts that contain a NUL are rejected, as in PostgreSQL.

create table sagas (
    id             blob    not null,
    started_at     integer not null,
    deadline       integer not null,
    version        integer not null,
    workflow       text    not null,
    key            text    not null,
    correlation_id text    not null,
    revision       integer not null,
    ignored        integer not null,
    updated_at     integer not null,
    finished_at    integer,
    format         integer not null,
    status         text    not null,
    paused         integer not null,
    current        text    not null,
    error_code     text,
    state          blob    not null,
    -- The last column: a large value overflows to pages of its own, which a read of the other columns does not touch.
    input          blob    not null,

    constraint sagas_pkey primary key (id),
    constraint sagas_key unique (workflow, key),
    constraint sagas_id check (length(id) = 16),
    constraint sagas_status check (status in ('running', 'compensating', 'completed', 'compensated', 'parked')),
    constraint sagas_finished check ((finished_at is not null) = (status in ('completed', 'compensated'))),
    constraint sagas_current check (current = '' or finished_at is null),
    constraint sagas_paused check (paused = 0 or paused = 1 and status in ('running', 'parked')),
    constraint sagas_numbers check (version >= 1 and revision >= 1 and ignored >= 0 and format >= 1),
    constraint sagas_times check (updated_at >= started_at and deadline >= started_at and finished_at <= updated_at),
    constraint sagas_names check (workflow <> '' and key <> ''),
    constraint sagas_nul check (
        instr(workflow || key || correlation_id || current || coalesce(error_code, ''), char(0)) = 0)
) strict;

-- For lists and counts by status.
create index sagas_by_status on sagas (workflow, status, id);

-- For the search by correlation id.
create index sagas_by_correlation on sagas (correlation_id);

-- The number of finished sagas. With one writer, one row per workflow and status is enough.
create table finished (
    workflow text    not null,
    status   text    not null,
    sagas    integer not null,

    constraint finished_pkey primary key (workflow, status),
    constraint finished_status check (status in ('completed', 'compensated')),
    constraint finished_sagas check (sagas > 0)
) strict, without rowid;

create table history (
    saga_id  blob    not null,
    revision integer not null,
    n        integer not null,
    at       integer not null,
    entry    blob    not null,

    constraint history_pkey primary key (saga_id, revision, n),
    constraint history_numbers check (revision >= 0 and n >= 0)
) strict;

create table timers (
    saga_id blob    not null,
    due_at integer not null,

    constraint timers_pkey primary key (saga_id)
) strict, without rowid;
create index timers_due on timers (due_at);

create table idempotency (
    scope     text    not null,
    key       text    not null,
    body_hash blob    not null,
    saga_id   blob    not null,
    answer    blob    not null,
    at        integer not null,

    constraint idempotency_pkey primary key (scope, key),
    constraint idempotency_body_hash check (length(body_hash) = 32),
    constraint idempotency_key check (key <> ''),
    constraint idempotency_nul check (instr(scope || key, char(0)) = 0)
) strict;
create index idempotency_by_age on idempotency (at);

create table outbox (
    id       blob    not null,
    owner    blob    not null,
    at       integer not null,
    messages blob    not null,

    constraint outbox_pkey primary key (id),
    constraint outbox_messages check (length(messages) >= 2)
) strict;
create index outbox_by_owner on outbox (owner, id);

create table leases (
    incarnation blob    not null,
    replica     text    not null,
    acquired_at    integer not null,
    expires_at   integer not null,

    constraint leases_pkey primary key (incarnation)
) strict, without rowid;

create table definitions (
    workflow  text    not null,
    version   integer not null,
    source    text    not null,
    digest    text    not null,
    stored_at integer not null,

    constraint definitions_pkey primary key (workflow, version),
    constraint definitions_version check (version >= 1),
    constraint definitions_digest check (length(digest) = 64 and digest not glob '*[^0-9a-f]*')
) strict;
