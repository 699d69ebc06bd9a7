-- Kitchen tickets: the effect of worker `store`. One row per saga; compensation sets the status and keeps the row.
create table tickets (
    saga_id blob primary key check (length(saga_id) = 16),
    order_id text not null,
    store text not null,
    -- The items as ordered, as JSON.
    items text not null,
    -- waiting: until an operator confirms it or its delay (AUTO) has passed. confirmed: accepted by the kitchen.
    -- withdrawn: compensated.
    status text not null check (status in ('waiting', 'confirmed', 'withdrawn')),
    opened_at integer not null default (cast(unixepoch('subsec') * 1000000 as integer))
) without rowid;
