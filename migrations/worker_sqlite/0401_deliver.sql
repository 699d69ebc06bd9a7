-- Courier bookings: the effect of worker `deliver`. One row per saga; compensation sets the status and keeps the row.
create table bookings (
    saga_id blob primary key check (length(saga_id) = 16),
    order_id text not null,
    customer text not null,
    -- booked: until an operator confirms the delivery or its delay (AUTO) has passed. delivered: completed.
    -- called_off: compensated.
    status text not null check (status in ('booked', 'delivered', 'called_off')),
    booked_at integer not null default (cast(unixepoch('subsec') * 1000000 as integer))
) without rowid;
