-- The engine's tables, in the schema `saga` (the migrator makes it, and keeps its own table in it).
--
-- Only orchestrator/src/db reads and writes them. There are no foreign keys: sagas, history, timers and outbox are
-- written by one statement, so that none can be without the other, and a check for each row would cost as much as the row.
-- Payloads and state are bytea, never jsonb: nobody looks into them here, and jsonb costs half as much again.
-- Texts that are searched or compared are in collation "C": the cheapest, and an index on them serves prefixes.

-- One row a saga, with its whole state. What never changes comes first: an update then logs only what comes behind it.
create table saga.sagas (
    id             uuid        not null,
    started_at     timestamptz not null,
    deadline       timestamptz not null,
    version        bigint      not null,
    workflow       text        collate "C" not null,
    key            text        collate "C" not null,
    correlation_id text        collate "C" not null,
    -- Written once. In this table all the same: a small input costs less copied with each update than a row of its own
    -- would, and a large one is moved out of line, where no update touches it.
    input          bytea       not null,
    revision       bigint      not null,
    -- How many inputs changed nothing; with the revision it tells whether a saga is still as it was read.
    ignored        bigint      not null,
    updated_at     timestamptz not null,
    finished_at    timestamptz,
    -- The number of the state's form. A replica that meets a higher one than its own leaves the saga to others.
    format         integer     not null,
    status         text        collate "C" not null,
    paused         boolean     not null,
    -- The steps under way, joined by a space, for the list. In no index: every transition changes it.
    current        text        collate "C" not null,
    -- For the list.
    error_code     text        collate "C",
    state          bytea       not null,

    -- Newest first: ids are UUIDv7.
    constraint sagas_pkey primary key (id),
    -- A business key is taken as long as its saga is kept. Without a predicate: one that names a column that transitions
    -- change would end HOT updates. The key comes last: the search for a prefix of it uses this index too.
    constraint sagas_key unique (workflow, key),

    constraint sagas_status check (status in ('running', 'compensating', 'completed', 'compensated', 'parked')),
    -- An end has its moment, and nothing else has.
    constraint sagas_finished check ((finished_at is not null) = (status in ('completed', 'compensated'))),
    -- Nothing is under way at an end.
    constraint sagas_current check (current = '' or finished_at is null),
    -- Going back, or at an end, there is nothing to withhold. A paused saga can be parked by a late failure.
    constraint sagas_paused check (not paused or status in ('running', 'parked')),
    constraint sagas_numbers check (version >= 1 and revision >= 1 and ignored >= 0 and format >= 1),
    constraint sagas_times check (updated_at >= started_at and deadline >= started_at and finished_at <= updated_at),
    constraint sagas_names check (workflow <> '' and key <> '')
) with (
    -- Room on each page for the next versions of its rows: an update that stays on its page touches no index.
    fillfactor = 50,
    -- A row up to here stays whole: compressing what the next transition replaces is wasted.
    toast_tuple_target = 4080,
    -- Dead versions are pruned by the updates themselves; what vacuum is for here is the indexes and the map of free space.
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02
);
-- Of a row too large, the input leaves first, uncompressed; the state is compressed, and leaves only if it must.
alter table saga.sagas alter column input set storage external;
alter table saga.sagas alter column state set storage main;

-- Lists and counts by status, of one workflow or, a range for each, of all. A status changes once or twice in a saga's
-- life, so most updates stay HOT.
create index sagas_by_status on saga.sagas (workflow, status, id);

-- An operator has a correlation id from a log line and looks for its saga. Ids that we make ourselves grow, so that this
-- index grows at its end.
create index sagas_by_correlation on saga.sagas (correlation_id);

-- How many sagas have finished: a row a batch that finishes some, summed up into one now and then. A count of ten million
-- rows would take seconds; one row for all to update would make them queue.
create table saga.finished (
    workflow text   collate "C" not null,
    status   text   collate "C" not null,
    sagas    bigint not null,

    constraint finished_status check (status in ('completed', 'compensated')),
    constraint finished_sagas check (sagas > 0)
);

-- What each input did: the key is (saga, revision, n), n = 0 for what moved the saga, from 1 for what was ignored there.
create table saga.history (
    saga_id  uuid        not null,
    revision bigint      not null,
    n        bigint      not null,
    at       timestamptz not null,
    entry    bytea       not null,

    -- Read by saga, in this order.
    constraint history_pkey primary key (saga_id, revision, n),
    constraint history_numbers check (revision >= 0 and n >= 0)
);

-- When to look at a saga again: at most one row each. In a table of its own, since in an index of sagas these times would
-- end HOT updates; and rewritten only when the new time is earlier, since a timer may come early but never late.
create table saga.timers (
    saga_id uuid        not null,
    due_at timestamptz not null,

    constraint timers_pkey primary key (saga_id)
) with (
    -- A queue: many rows go each second, and scans begin where they went.
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000
);
-- The due ones first.
create index timers_due on saga.timers (due_at);

-- The keys that starts were sent with, and what was answered.
create table saga.idempotency (
    -- Caller and route.
    scope     text        collate "C" not null,
    key       text        collate "C" not null,
    -- SHA-256: the same key with another body is a mistake of the caller.
    body_hash bytea       not null,
    saga_id   uuid        not null,
    -- The body of the answer, byte for byte.
    answer    bytea       not null,
    at        timestamptz not null,

    constraint idempotency_pkey primary key (scope, key),
    constraint idempotency_body_hash check (octet_length(body_hash) = 32),
    constraint idempotency_key check (key <> '')
);
-- The oldest go first, in chunks.
create index idempotency_by_age on saga.idempotency (at);

-- One row a batch: all its messages as one value. Written in the batch's transaction, so that its key also tells whether
-- the batch was committed; gone once Kafka has acknowledged all of them.
create table saga.outbox (
    id       uuid        not null,
    -- The incarnation of a replica that publishes it.
    owner    uuid        not null,
    at       timestamptz not null default clock_timestamp(),
    messages bytea       not null,

    constraint outbox_pkey primary key (id),
    constraint outbox_messages check (octet_length(messages) >= 2)
) with (
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000
);
-- Read once, soon, by who wrote it: not worth compressing.
alter table saga.outbox alter column messages set storage external;
-- A replica's own rows, oldest first; and those of one that is dead.
create index outbox_by_owner on saga.outbox (owner, id);

-- Which incarnations are alive: until `expires_at`, by this database's clock. Who is not listed is dead.
create table saga.leases (
    incarnation uuid        not null,
    -- A name for the log.
    replica     text        not null,
    acquired_at    timestamptz not null default clock_timestamp(),
    expires_at   timestamptz not null,

    constraint leases_pkey primary key (incarnation)
) with (
    -- Renewed each second or so, by few.
    fillfactor = 50
);

-- Every version of every workflow. A version never changes: a saga keeps the one it began with.
create table saga.definitions (
    workflow  text        collate "C" not null,
    version   bigint      not null,
    -- The text as it was given.
    source    text        not null,
    -- SHA-256 of its canonical form, in hex: decides whether two are the same.
    digest    text        not null,
    stored_at timestamptz not null default clock_timestamp(),

    constraint definitions_pkey primary key (workflow, version),
    constraint definitions_version check (version >= 1),
    constraint definitions_digest check (digest ~ '^[0-9a-f]{64}$')
);
