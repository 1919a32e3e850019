CREATE TABLE given_up (
    idem_key VARCHAR(64) NOT NULL PRIMARY KEY,
    posting VARBINARY(16) NOT NULL,
    reason TEXT NOT NULL,
    told_at BIGINT NOT NULL
);
