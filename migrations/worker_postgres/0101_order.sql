-- The orders: the effect of worker `order`. One row per saga; compensation sets the status and keeps the row.
create table orders (
    saga_id uuid primary key,
    -- The saga's business key.
    order_id text not null,
    customer text not null,
    store text not null,
    -- The items as ordered, as JSON. Never searched.
    items text not null,
    -- In the smallest unit of the currency. The limit is 100 items of quantity 100 at 10,000,000 each.
    amount bigint not null check (amount between 0 and 100000000000),
    currency text not null,
    fulfilment text not null check (fulfilment in ('delivery', 'pickup')),
    status text not null default 'placed' check (status in ('placed', 'cancelled')),
    placed_at timestamptz not null default now()
);

-- Prices of the stores that have a menu here. A listed item must be ordered at its price; any other item is accepted
-- at the price given.
create table menu (
    store text not null,
    item text not null,
    price bigint not null check (price between 0 and 10000000),
    primary key (store, item)
);

insert into menu (store, item, price) values
    ('north', 'big mac', 550), ('north', 'cheeseburger', 250), ('north', 'fries', 320), ('north', 'cola', 280),
    ('south', 'big mac', 590), ('south', 'mcflurry', 390), ('south', 'fries', 340), ('south', 'cola', 300);
