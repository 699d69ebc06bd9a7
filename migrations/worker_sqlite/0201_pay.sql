-- Charges and refunds made by worker `pay` itself, with PAYMENT_GATEWAY_URL=inside. One row per saga. Empty when a
-- payment gateway is configured, which keeps its own records.
create table payments (
    saga_id blob primary key check (length(saga_id) = 16),
    amount integer not null check (amount >= 0),
    currency text not null,
    status text not null default 'charged' check (status in ('charged', 'refunded')),
    charged_at integer not null default (cast(unixepoch('subsec') * 1000000 as integer))
) without rowid;
