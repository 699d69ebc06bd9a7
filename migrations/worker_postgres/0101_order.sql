-- The orders as worker `order` has taken them down: its effect. One row a saga; a cancelled order keeps its row.
create table orders (
    saga_id uuid primary key,
    -- What callers know the order by: the saga's business key.
    order_id text not null,
    customer text not null,
    store text not null,
    -- The items as they were ordered, as JSON: kept for people, never searched.
    items text not null,
    -- Of the smallest unit of the currency. At most 100 items, 100 times each, 10,000,000 apiece.
    amount bigint not null check (amount between 0 and 100000000000),
    currency text not null,
    fulfilment text not null check (fulfilment in ('delivery', 'pickup')),
    status text not null default 'placed' check (status in ('placed', 'cancelled')),
    placed_at timestamptz not null default now()
);

-- What the stores that keep a menu here sell, and for how much. An item listed must be ordered at its price; what is
-- not listed is taken at the price given.
create table menu (
    store text not null,
    item text not null,
    price bigint not null check (price between 0 and 10000000),
    primary key (store, item)
);

insert into menu (store, item, price) values
    ('north', 'big mac', 550), ('north', 'cheeseburger', 250), ('north', 'fries', 320), ('north', 'cola', 280),
    ('south', 'big mac', 590), ('south', 'mcflurry', 390), ('south', 'fries', 340), ('south', 'cola', 300);
