-- What was charged and refunded inside the worker, with PAYMENT_GATEWAY_URL=inside: the books of a gateway that is not
-- there. Empty with a real gateway, which keeps books of its own.
create table payments (
    saga_id uuid primary key,
    amount bigint not null check (amount >= 0),
    currency text not null,
    status text not null default 'charged' check (status in ('charged', 'refunded')),
    charged_at timestamptz not null default now()
);
