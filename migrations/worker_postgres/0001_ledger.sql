-- What a worker remembers: one row for each step of each saga that it was ever asked to do or undo, for both directions
-- (rules A1 to A4). It is written in the transaction of the effect itself, so that the two cannot disagree.
-- One schema a worker; all members of the worker share it.
create table ledger (
    saga_id uuid not null,
    step text not null,
    -- new: being decided, seen by its own transaction alone. intended: a call outside the database was or is about to
    -- be made, its outcome unknown. done: completed, or accepted. failed: the last attempt had no effect. revoked: it
    -- was compensated before it happened, so it must never happen. compensated: it happened, and was compensated.
    state text not null default 'new',
    -- The attempt of the action that the row speaks of; 0: none was made.
    attempt integer not null default 0,
    -- The answer to that attempt, as JSON. Text, not jsonb: nobody searches it, and it costs a third less.
    reply text,
    -- How often the action got a new idempotency key: raised only after an answer that definitely had no effect.
    key_number integer not null default 0,
    -- The same three for the compensation.
    compensation_attempt integer not null default 0,
    compensation_reply text,
    compensation_key_number integer not null default 0,
    -- When the runtime looks at the row again: an accepted step ends by itself then, or it has ended and the
    -- orchestrator has not acknowledged the news. Null, as it nearly always is: it need not look.
    due_at timestamptz,
    -- The saga's deadline, or when the row last changed, whichever is later. It is kept for LEDGER_LIFE from here.
    needed_until timestamptz not null,

    -- Also the order in which rows are locked. Saga ids begin with their time, so old rows stand together at the
    -- front, which is where pruning begins.
    primary key (saga_id, step),

    constraint a_state_is_one_of_six
        check (state in ('new', 'intended', 'done', 'failed', 'revoked', 'compensated')),
    constraint new_knows_nothing
        check (state <> 'new' or (attempt = 0 and reply is null and compensation_attempt = 0)),
    constraint intended_has_no_answer_yet
        check (state <> 'intended' or (attempt > 0 and reply is null)),
    constraint done_failed_and_compensated_have_an_answer
        check (state not in ('done', 'failed', 'compensated') or (attempt > 0 and reply is not null)),
    constraint failed_was_not_compensated
        check (state <> 'failed' or compensation_attempt = 0),
    constraint revoked_and_compensated_were_compensated
        check (state not in ('revoked', 'compensated') or compensation_attempt > 0),
    constraint a_compensation_has_an_answer
        check ((compensation_attempt > 0) = (compensation_reply is not null)),
    constraint only_what_was_taken_on_is_due
        check (due_at is null or state in ('done', 'failed')),
    constraint keys_count_from_zero
        check (key_number >= 0 and compensation_key_number >= 0)
)
-- A row is inserted and, in the same transaction, updated to about twice its size. With two thirds of a page kept free
-- the second version lands beside the first, and the index is not written again (HOT).
with (fillfactor = 35);

-- For the runtime's look at what is due. Rows without a time are not in it, so it costs the others nothing.
create index ledger_due on ledger (due_at) where due_at is not null;
