-- The engine's tables, in the schema `saga`. The migrator creates the schema and has its own table in it.
--
-- Only orchestrator/src/db accesses them. There are no foreign keys: one statement writes sagas, history, timers and outbox,
-- so that none can exist without the others, and a foreign key check costs as much as the row.
-- Payloads and state are bytea, not jsonb: no query looks into them, and jsonb costs half as much again.
-- Texts that are searched or compared have collation "C": it is the cheapest, and an index on it supports prefixes.

-- One row per saga, with its whole state. The columns that never change come first: an update then logs only the rest.
create table saga.sagas (
    id             uuid        not null,
    started_at     timestamptz not null,
    deadline       timestamptz not null,
    version        bigint      not null,
    workflow       text        collate "C" not null,
    key            text        collate "C" not null,
    correlation_id text        collate "C" not null,
    -- Written once, but still in this table: copying a small input with each update costs less than a row of its own, and a
    -- large one is stored out of line, where updates do not touch it.
    input          bytea       not null,
    revision       bigint      not null,
    -- The number of ignored inputs. Together with the revision it tells whether a saga is still as it was loaded.
    ignored        bigint      not null,
    updated_at     timestamptz not null,
    finished_at    timestamptz,
    -- The version of the state's format. A replica leaves sagas with a newer format to newer replicas.
    format         integer     not null,
    status         text        collate "C" not null,
    paused         boolean     not null,
    -- The steps in progress, separated by spaces, for lists. Not indexed, since almost every transition changes it.
    current        text        collate "C" not null,
    -- The code of the error in force, for lists.
    error_code     text        collate "C",
    state          bytea       not null,

    -- Newest first: ids are UUIDv7.
    constraint sagas_pkey primary key (id),
    -- A business key is unique for as long as its saga is kept. The index has no predicate: one on a column that transitions
    -- change would prevent HOT updates. The key comes last, so that the search for a prefix of it uses this index too.
    constraint sagas_key unique (workflow, key),

    constraint sagas_status check (status in ('running', 'compensating', 'completed', 'compensated', 'parked')),
    -- Exactly the finished sagas have a time at which they finished.
    constraint sagas_finished check ((finished_at is not null) = (status in ('completed', 'compensated'))),
    -- No step of a finished saga is in progress.
    constraint sagas_current check (current = '' or finished_at is null),
    -- A pause withholds forward commands, of which a compensating or finished saga has none. A late failure can park a paused
    -- saga.
    constraint sagas_paused check (not paused or status in ('running', 'parked')),
    constraint sagas_numbers check (version >= 1 and revision >= 1 and ignored >= 0 and format >= 1),
    constraint sagas_times check (updated_at >= started_at and deadline >= started_at and finished_at <= updated_at),
    constraint sagas_names check (workflow <> '' and key <> '')
) with (
    -- Free space on each page for new versions of its rows: an update that stays on its page (HOT) touches no index.
    fillfactor = 50,
    -- Rows up to this size are stored uncompressed: compressing a state that the next transition replaces is wasted work.
    toast_tuple_target = 4080,
    -- HOT updates prune dead row versions themselves; vacuum is needed for the indexes and the free space map.
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02
);
-- Of a large row the input is moved out of line first, uncompressed; the state is compressed, and moved only if it must be.
alter table saga.sagas alter column input set storage external;
alter table saga.sagas alter column state set storage main;

-- For lists and counts by status, of one workflow or, with a range for each, of all. A saga's status changes once or twice, so
-- most updates stay HOT.
create index sagas_by_status on saga.sagas (workflow, status, id);

-- For an operator who searches for the saga of a correlation id from a log line. Generated ids ascend, so that this index
-- grows at its end.
create index sagas_by_correlation on saga.sagas (correlation_id);

-- The number of finished sagas. Each batch that finishes sagas inserts a row, and the rows are compacted from time to time.
-- Counting ten million sagas takes seconds, and a single row that all batches update would serialize them.
create table saga.finished (
    workflow text   collate "C" not null,
    status   text   collate "C" not null,
    sagas    bigint not null,

    constraint finished_status check (status in ('completed', 'compensated')),
    constraint finished_sagas check (sagas > 0)
);

-- What each input did. The key is (saga, revision, n): n = 0 for the input that created the revision, from 1 for inputs that
-- were ignored at it.
create table saga.history (
    saga_id  uuid        not null,
    revision bigint      not null,
    n        bigint      not null,
    at       timestamptz not null,
    entry    bytea       not null,

    -- A saga's history is read in this order.
    constraint history_pkey primary key (saga_id, revision, n),
    constraint history_numbers check (revision >= 0 and n >= 0)
);

-- When a saga has to be processed without an input: at most one row per saga. A table of its own, since an index on this
-- column of sagas would prevent HOT updates. A timer is usually only moved to an earlier time, since it may fire too early,
-- but never too late.
create table saga.timers (
    saga_id uuid        not null,
    due_at timestamptz not null,

    constraint timers_pkey primary key (saga_id)
) with (
    -- A queue: many rows are deleted each second, and scans start where they were.
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000
);
-- For claims: due timers first.
create index timers_due on saga.timers (due_at);

-- Idempotency keys of starts, with the response of the first request.
create table saga.idempotency (
    -- Caller and route.
    scope     text        collate "C" not null,
    key       text        collate "C" not null,
    -- SHA-256: the same key with a different body is an error.
    body_hash bytea       not null,
    saga_id   uuid        not null,
    -- The body of the response, byte for byte.
    answer    bytea       not null,
    at        timestamptz not null,

    constraint idempotency_pkey primary key (scope, key),
    constraint idempotency_body_hash check (octet_length(body_hash) = 32),
    constraint idempotency_key check (key <> '')
);
-- For deleting expired keys in chunks, oldest first.
create index idempotency_by_age on saga.idempotency (at);

-- One row per batch, with all its messages as one value. It is written with the batch, so that its key also tells whether the
-- batch was committed, and deleted once Kafka has acknowledged all messages.
create table saga.outbox (
    id       uuid        not null,
    -- The incarnation of the replica that publishes it.
    owner    uuid        not null,
    at       timestamptz not null default clock_timestamp(),
    messages bytea       not null,

    constraint outbox_pkey primary key (id),
    constraint outbox_messages check (octet_length(messages) >= 2)
) with (
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000
);
-- Compressed by the orchestrator.
alter table saga.outbox alter column messages set storage external;
-- For sweeps of a replica's own rows, oldest first, and for the adoption of a dead owner's rows.
create index outbox_by_owner on saga.outbox (owner, id);

-- The leases of incarnations, which are alive until `expires_at` by this database's clock. An incarnation without a row is
-- dead.
create table saga.leases (
    incarnation uuid        not null,
    -- The name of the replica, for operators.
    replica     text        not null,
    acquired_at    timestamptz not null default clock_timestamp(),
    expires_at   timestamptz not null,

    constraint leases_pkey primary key (incarnation)
) with (
    -- Few rows, each updated every second.
    fillfactor = 50
);

-- Every version of every workflow. A version never changes, and a saga stays on the version that it was started with.
create table saga.definitions (
    workflow  text        collate "C" not null,
    version   bigint      not null,
    -- The text as it was uploaded.
    source    text        not null,
    -- SHA-256 of the canonical form, in hex: tells whether two definitions are the same.
    digest    text        not null,
    stored_at timestamptz not null default clock_timestamp(),

    constraint definitions_pkey primary key (workflow, version),
    constraint definitions_version check (version >= 1),
    constraint definitions_digest check (digest ~ '^[0-9a-f]{64}$')
);
