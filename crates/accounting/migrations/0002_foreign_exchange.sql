-- Postings on the clearing account. Those that are legs of an exchange, or give one back, say which.
CREATE TABLE exchange_leg (
    posting VARBINARY(16) NOT NULL PRIMARY KEY,
    exchange VARBINARY(16),
    account VARBINARY(16) NOT NULL,
    debits BIGINT NOT NULL,
    currency VARCHAR(3) NOT NULL,
    amount BIGINT NOT NULL,
    reverses VARBINARY(16)
);
CREATE INDEX exchange_leg_by_exchange ON exchange_leg (exchange, posting);
-- What was decided of exchanges, as it was told, and what it was booked as.
CREATE TABLE exchange_decision (
    exchange VARBINARY(16) NOT NULL PRIMARY KEY,
    succeeded BIGINT NOT NULL,
    buys BIGINT NOT NULL,
    currency VARCHAR(3) NOT NULL,
    foreign_amount BIGINT NOT NULL,
    won BIGINT NOT NULL,
    krw_account VARBINARY(16),
    fx_account VARBINARY(16),
    withdrawal VARBINARY(16),
    deposit VARBINARY(16),
    business_date BIGINT NOT NULL,
    foreign_moved BIGINT NOT NULL,
    value_moved BIGINT NOT NULL,
    trading BIGINT NOT NULL
);
-- Exchanges whose books do not agree, or not yet: a row comes with the first that is known and goes with the last.
CREATE TABLE exchange_open (
    exchange VARBINARY(16) NOT NULL PRIMARY KEY,
    kind VARCHAR(16) NOT NULL,
    detail TEXT NOT NULL,
    since BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    told BIGINT NOT NULL
);
CREATE INDEX exchange_open_by_due ON exchange_open (told, due_at);
-- What exchanges moved on each day: position in minor units, its counter-value and the trading profit in won.
CREATE TABLE position_day (
    currency VARCHAR(3) NOT NULL,
    business_date BIGINT NOT NULL,
    foreign_moved BIGINT NOT NULL,
    value_moved BIGINT NOT NULL,
    trading BIGINT NOT NULL,
    PRIMARY KEY (currency, business_date)
);
-- The last board of each day, and the last base price of each currency on it.
CREATE TABLE closing_board (
    business_date BIGINT NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL
);
CREATE TABLE closing_rate (
    currency VARCHAR(3) NOT NULL,
    business_date BIGINT NOT NULL,
    unit BIGINT NOT NULL,
    mid VARCHAR(32) NOT NULL,
    PRIMARY KEY (currency, business_date)
);
-- One row: the last day that was valued. It is the lock between exchanges and valuing.
CREATE TABLE valued (
    id BIGINT NOT NULL PRIMARY KEY,
    through_date BIGINT NOT NULL
);
-- What each position was valued at, once a day.
CREATE TABLE revaluation (
    currency VARCHAR(3) NOT NULL,
    business_date BIGINT NOT NULL,
    unit BIGINT NOT NULL,
    mid VARCHAR(32) NOT NULL,
    rate_date BIGINT NOT NULL,
    foreign_amount BIGINT NOT NULL,
    value_before BIGINT NOT NULL,
    gain BIGINT NOT NULL,
    PRIMARY KEY (currency, business_date)
);
