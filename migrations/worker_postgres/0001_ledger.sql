-- The ledger: one row per saga and step, for both directions, of every step that this worker was asked
-- to execute or compensate (rules A1 to A4). It is written in the transaction of the step's effect, so
-- the two cannot disagree.
-- Each worker has a schema of its own, which all its members share.
create table ledger (
    saga_id uuid not null,
    step text not null,
    -- new: inserted, visible only to its own transaction. intended: a call to another system was or is
    -- about to be made, and its outcome is unknown. done: completed or accepted. failed: the last attempt
    -- had no effect. revoked: compensated before it was executed, so it must never be executed.
    -- compensated: executed, then compensated.
    state text not null default 'new',
    -- The attempt of the action that state and reply belong to; 0 before the first.
    attempt integer not null default 0,
    -- The reply to that attempt, as JSON. Text instead of jsonb: it is never searched, and takes a third less
    -- space.
    reply text,
    -- How often the action's idempotency key was replaced: only after a reply that proves that the call
    -- had no effect.
    key_generation integer not null default 0,
    -- The same three for the compensation.
    compensation_attempt integer not null default 0,
    compensation_reply text,
    compensation_key_generation integer not null default 0,
    -- When the runtime processes the row next: an accepted step completes by itself then, or it has ended
    -- and the orchestrator has not acknowledged its reply yet. Null for nearly all rows.
    due_at timestamptz,
    -- The later of the saga's deadline and the last change. The row is retained for LEDGER_LIFE from then.
    needed_until timestamptz not null,

    -- Also the order in which rows are locked. Saga ids start with their time, so old rows are adjacent and
    -- pruning reads one range of the index.
    primary key (saga_id, step),

    constraint ledger_state_is_known
        check (state in ('new', 'intended', 'done', 'failed', 'revoked', 'compensated')),
    constraint ledger_new_is_blank
        check (state <> 'new' or (attempt = 0 and reply is null and compensation_attempt = 0)),
    constraint ledger_intended_has_no_reply
        check (state <> 'intended' or (attempt > 0 and reply is null)),
    constraint ledger_ended_has_reply
        check (state not in ('done', 'failed', 'compensated') or (attempt > 0 and reply is not null)),
    constraint ledger_failed_is_not_compensated
        check (state <> 'failed' or compensation_attempt = 0),
    constraint ledger_revoked_has_compensation
        check (state not in ('revoked', 'compensated') or compensation_attempt > 0),
    constraint ledger_compensation_has_reply
        check ((compensation_attempt > 0) = (compensation_reply is not null)),
    constraint ledger_due_only_if_ended
        check (due_at is null or state in ('done', 'failed')),
    constraint ledger_key_generations_not_negative
        check (key_generation >= 0 and compensation_key_generation >= 0)
)
-- A row is inserted and then, in the same transaction, updated to about twice its size. With two thirds of
-- each page kept free the new version fits beside the old one and the index is not written again (HOT).
with (fillfactor = 35);

-- For the poll for due rows. It contains only rows that have a due time, so it costs the others nothing.
create index ledger_due on ledger (due_at) where due_at is not null;
