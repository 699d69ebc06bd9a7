-- The kitchen's tickets: the effect of worker `store`. One row a saga; a withdrawn ticket keeps its row.
create table tickets (
    saga_id blob primary key check (length(saga_id) = 16),
    order_id text not null,
    store text not null,
    -- What to cook, as JSON.
    items text not null,
    -- waiting: somebody must confirm it, or its time must come. confirmed: in by the kitchen, or at once when orders
    -- are taken automatically. withdrawn: in by the compensation, and then nobody cooks it.
    status text not null check (status in ('waiting', 'confirmed', 'withdrawn')),
    opened_at integer not null default (cast(unixepoch('subsec') * 1000000 as integer))
) without rowid;
