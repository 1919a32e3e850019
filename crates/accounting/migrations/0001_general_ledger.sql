-- A journal is one row: its lines are packed as text, like `2010D5000 1010C5000` (account, side, minor units).
-- Its id is that of the posting (or of the interest payment whose tax it moves), so that neither is journaled twice.
CREATE TABLE journal (
    id VARBINARY(16) NOT NULL PRIMARY KEY,
    business_date BIGINT NOT NULL,
    currency VARCHAR(3) NOT NULL,
    instance VARCHAR(32) NOT NULL,
    kind VARCHAR(16) NOT NULL,
    posted_at BIGINT NOT NULL,
    packed VARCHAR(512) NOT NULL
);
CREATE INDEX journal_by_day ON journal (business_date, currency, id);
-- What each account of the general ledger moved on each day: a batch of journals changes one row per account and day.
CREATE TABLE gl_total (
    code BIGINT NOT NULL,
    currency VARCHAR(3) NOT NULL,
    instance VARCHAR(32) NOT NULL,
    business_date BIGINT NOT NULL,
    debits BIGINT NOT NULL,
    credits BIGINT NOT NULL,
    PRIMARY KEY (code, currency, instance, business_date)
);
CREATE TABLE tax_payment (
    interest VARBINARY(16) NOT NULL PRIMARY KEY,
    posting VARBINARY(16) NOT NULL,
    account VARBINARY(16) NOT NULL,
    instance VARCHAR(32) NOT NULL,
    currency VARCHAR(3) NOT NULL,
    business_date BIGINT NOT NULL,
    from_date BIGINT NOT NULL,
    to_date BIGINT NOT NULL,
    gross BIGINT NOT NULL,
    income_tax BIGINT NOT NULL,
    local_tax BIGINT NOT NULL,
    other_tax BIGINT NOT NULL,
    net BIGINT NOT NULL
);
CREATE INDEX tax_payment_by_day ON tax_payment (business_date, interest);
