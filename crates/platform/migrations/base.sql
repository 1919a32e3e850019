CREATE TABLE idempotency (
    caller VARCHAR(64) NOT NULL,
    idem_key VARCHAR(64) NOT NULL,
    hash BIGINT NOT NULL,
    status BIGINT NOT NULL,
    body TEXT NOT NULL,
    kept_at BIGINT NOT NULL,
    PRIMARY KEY (caller, idem_key)
);
CREATE TABLE outbox (
    id VARBINARY(16) NOT NULL PRIMARY KEY,
    topic VARCHAR(64) NOT NULL,
    event_key VARCHAR(64) NOT NULL,
    event_type VARCHAR(64) NOT NULL,
    payload TEXT NOT NULL,
    emitted_at BIGINT NOT NULL
);
CREATE TABLE inbox (
    consumer VARCHAR(64) NOT NULL,
    event_id VARBINARY(16) NOT NULL,
    taken_at BIGINT NOT NULL,
    PRIMARY KEY (consumer, event_id)
);
CREATE TABLE dead_letter (
    id VARBINARY(16) NOT NULL PRIMARY KEY,
    consumer VARCHAR(64) NOT NULL,
    topic VARCHAR(64) NOT NULL,
    event_key VARCHAR(64) NOT NULL,
    event_id VARBINARY(16) NOT NULL,
    event_type VARCHAR(64) NOT NULL,
    payload TEXT NOT NULL,
    reason TEXT NOT NULL,
    tries BIGINT NOT NULL,
    state VARCHAR(16) NOT NULL,
    parked_at BIGINT NOT NULL
);
CREATE INDEX dead_letter_by_key ON dead_letter (consumer, state, event_key);
CREATE TABLE approval (
    id VARBINARY(16) NOT NULL PRIMARY KEY,
    kind VARCHAR(64) NOT NULL,
    subject VARCHAR(128) NOT NULL,
    action TEXT NOT NULL,
    reason TEXT NOT NULL,
    asked_by VARCHAR(64) NOT NULL,
    asked_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    state VARCHAR(16) NOT NULL,
    decided_by VARCHAR(64),
    decided_at BIGINT,
    decision_reason TEXT,
    result TEXT
);
CREATE INDEX approval_by_state ON approval (state, id);
CREATE TABLE audit (
    seq BIGINT NOT NULL PRIMARY KEY,
    done_at BIGINT NOT NULL,
    who VARCHAR(64) NOT NULL,
    what VARCHAR(64) NOT NULL,
    subject VARCHAR(128) NOT NULL,
    reason TEXT NOT NULL,
    result TEXT NOT NULL,
    prev_hash VARBINARY(32) NOT NULL,
    hash VARBINARY(32) NOT NULL
);
CREATE INDEX audit_by_subject ON audit (subject, seq);
