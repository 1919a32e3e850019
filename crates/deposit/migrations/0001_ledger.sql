CREATE TABLE account (
    no BIGINT NOT NULL PRIMARY KEY,
    id VARBINARY(16) NOT NULL,
    number VARCHAR(20) NOT NULL,
    customer VARBINARY(16) NOT NULL,
    product VARCHAR(32) NOT NULL,
    currency VARCHAR(3) NOT NULL,
    marks BIGINT NOT NULL,
    opened_on BIGINT NOT NULL,
    closed_on BIGINT
);
CREATE INDEX account_by_customer ON account (customer, no);
CREATE TABLE balance (
    no BIGINT NOT NULL PRIMARY KEY,
    ledger BIGINT NOT NULL,
    held BIGINT NOT NULL,
    serial BIGINT NOT NULL,
    path VARBINARY(1024) NOT NULL,
    day BIGINT NOT NULL,
    opening BIGINT NOT NULL,
    debits BIGINT NOT NULL,
    credits BIGINT NOT NULL,
    used_day BIGINT NOT NULL,
    used_day_sum BIGINT NOT NULL,
    used_month BIGINT NOT NULL,
    used_month_sum BIGINT NOT NULL,
    paid_through BIGINT NOT NULL,
    changed BIGINT NOT NULL
);
CREATE TABLE posting (
    seq BIGINT NOT NULL PRIMARY KEY,
    idem_key VARCHAR(160) NOT NULL UNIQUE,
    hash BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    refused TEXT,
    debit_no BIGINT,
    debit_serial BIGINT,
    debit_balance BIGINT,
    debit_prev BIGINT,
    debit_jump BIGINT,
    credit_no BIGINT,
    credit_serial BIGINT,
    credit_balance BIGINT,
    credit_prev BIGINT,
    credit_jump BIGINT,
    bank VARCHAR(32),
    amount BIGINT NOT NULL,
    tax BIGINT NOT NULL,
    held BIGINT NOT NULL,
    counted BIGINT NOT NULL,
    refers BIGINT,
    business_date BIGINT NOT NULL,
    posted_at BIGINT NOT NULL,
    memo TEXT
);
CREATE TABLE posting_outbox (
    first_seq BIGINT NOT NULL PRIMARY KEY,
    last_seq BIGINT NOT NULL
);
CREATE TABLE folded (
    id BIGINT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL
);
CREATE TABLE hold (
    seq BIGINT NOT NULL PRIMARY KEY,
    account BIGINT NOT NULL,
    remaining BIGINT NOT NULL,
    until_at BIGINT,
    counted_on BIGINT NOT NULL
);
CREATE INDEX hold_by_end ON hold (until_at);
CREATE TABLE reversal (
    original BIGINT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL
);
CREATE TABLE daily_balance (
    account BIGINT NOT NULL,
    date BIGINT NOT NULL,
    opening BIGINT NOT NULL,
    debits BIGINT NOT NULL,
    credits BIGINT NOT NULL,
    closing BIGINT NOT NULL,
    last_serial BIGINT NOT NULL,
    PRIMARY KEY (account, date)
);
CREATE TABLE interest_payment (
    posting BIGINT NOT NULL PRIMARY KEY,
    id VARBINARY(16) NOT NULL,
    account BIGINT NOT NULL,
    from_date BIGINT NOT NULL,
    to_date BIGINT NOT NULL,
    gross BIGINT NOT NULL,
    income_tax BIGINT NOT NULL,
    local_tax BIGINT NOT NULL,
    other_tax BIGINT NOT NULL,
    net BIGINT NOT NULL,
    UNIQUE (account, from_date)
);
CREATE TABLE product_version (
    code VARCHAR(32) NOT NULL,
    from_date BIGINT NOT NULL,
    terms TEXT NOT NULL,
    PRIMARY KEY (code, from_date)
);
CREATE TABLE owner (
    customer VARBINARY(16) NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    kind VARCHAR(16) NOT NULL,
    birth_date BIGINT NOT NULL,
    marks BIGINT NOT NULL
);
