-- Batches of postings whose rows are not written yet, each packed in one row.
CREATE TABLE posting_batch (
    last_seq BIGINT NOT NULL PRIMARY KEY,
    first_seq BIGINT NOT NULL,
    packed MEDIUMBLOB NOT NULL
);
-- What stood there of the last batch, the batch itself tells.
ALTER TABLE place DROP COLUMN news;
