CREATE TABLE board (
    number BIGINT NOT NULL PRIMARY KEY,
    business_date BIGINT NOT NULL,
    round BIGINT NOT NULL,
    as_of BIGINT NOT NULL,
    put_by VARCHAR(64) NOT NULL
);
CREATE INDEX board_by_time ON board (as_of, number);
CREATE TABLE board_line (
    board BIGINT NOT NULL,
    currency VARCHAR(3) NOT NULL,
    unit BIGINT NOT NULL,
    mid BIGINT NOT NULL,
    tts BIGINT NOT NULL,
    ttb BIGINT NOT NULL,
    PRIMARY KEY (board, currency)
);
CREATE TABLE discount (
    kind VARCHAR(16) NOT NULL,
    subject VARCHAR(64) NOT NULL,
    bp BIGINT NOT NULL,
    from_at BIGINT NOT NULL,
    until_at BIGINT NOT NULL,
    PRIMARY KEY (kind, subject)
);
CREATE TABLE quote (
    id VARBINARY(16) NOT NULL PRIMARY KEY,
    customer VARBINARY(16) NOT NULL,
    side VARCHAR(4) NOT NULL,
    currency VARCHAR(3) NOT NULL,
    unit BIGINT NOT NULL,
    price BIGINT NOT NULL,
    mid BIGINT NOT NULL,
    discount_bp BIGINT NOT NULL,
    foreign_amount BIGINT NOT NULL,
    won BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    snapshot TEXT NOT NULL
);
CREATE TABLE exchange (
    id VARBINARY(16) NOT NULL PRIMARY KEY,
    quote VARBINARY(16) NOT NULL,
    customer VARBINARY(16) NOT NULL,
    krw_account VARBINARY(16) NOT NULL,
    fx_account VARBINARY(16) NOT NULL,
    state VARCHAR(32) NOT NULL,
    withdrawal VARBINARY(16),
    deposit VARBINARY(16),
    code VARCHAR(64),
    detail TEXT,
    day_first BIGINT NOT NULL,
    month_first BIGINT NOT NULL,
    snapshot TEXT NOT NULL,
    began_at BIGINT NOT NULL,
    decided_at BIGINT,
    alarmed_at BIGINT
);
CREATE UNIQUE INDEX exchange_by_quote ON exchange (quote);
CREATE INDEX exchange_by_customer ON exchange (customer, id);
CREATE INDEX exchange_by_state ON exchange (state, id);
CREATE TABLE passage (
    exchange VARBINARY(16) NOT NULL,
    place BIGINT NOT NULL,
    state VARCHAR(32) NOT NULL,
    passed_at BIGINT NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (exchange, place)
);
CREATE TABLE limit_usage (
    customer VARBINARY(16) NOT NULL,
    span VARCHAR(8) NOT NULL,
    first_day BIGINT NOT NULL,
    used BIGINT NOT NULL,
    reserved BIGINT NOT NULL,
    PRIMARY KEY (customer, span, first_day)
);
