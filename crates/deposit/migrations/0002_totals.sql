CREATE TABLE totals (
    id BIGINT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL,
    postings BIGINT NOT NULL,
    refused BIGINT NOT NULL
);
CREATE TABLE totals_currency (
    currency VARCHAR(3) NOT NULL PRIMARY KEY,
    entries VARCHAR(40) NOT NULL,
    moved VARCHAR(40) NOT NULL,
    broken BIGINT NOT NULL,
    paid_on BIGINT NOT NULL,
    paid_net BIGINT NOT NULL,
    paid_tax BIGINT NOT NULL,
    payments BIGINT NOT NULL
);
CREATE TABLE totals_bank (
    currency VARCHAR(3) NOT NULL,
    account VARCHAR(32) NOT NULL,
    amount VARCHAR(40) NOT NULL,
    PRIMARY KEY (currency, account)
);
