-- The couriers' bookings: the effect of worker `deliver`. One row a saga; one that is called off keeps its row.
create table bookings (
    saga_id blob primary key check (length(saga_id) = 16),
    order_id text not null,
    customer text not null,
    -- booked: on the way. delivered: in by the courier, or at once when orders are taken automatically. called_off: in
    -- by the compensation.
    status text not null check (status in ('booked', 'delivered', 'called_off')),
    booked_at integer not null default (cast(unixepoch('subsec') * 1000000 as integer))
) without rowid;
