-- Charges and refunds made by worker `pay` itself, with PAYMENT_GATEWAY_URL=inside. One row per saga. Empty when a
-- payment gateway is configured, which keeps its own records.
create table payments (
    saga_id uuid primary key,
    amount bigint not null check (amount >= 0),
    currency text not null,
    status text not null default 'charged' check (status in ('charged', 'refunded')),
    charged_at timestamptz not null default now()
);
