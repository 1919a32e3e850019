CREATE TABLE customer (
    id VARBINARY(16) NOT NULL PRIMARY KEY,
    personal VARBINARY(2048) NOT NULL,
    kind VARCHAR(16) NOT NULL,
    version BIGINT NOT NULL,
    registered_at BIGINT NOT NULL
);
CREATE TABLE mark (
    customer VARBINARY(16) NOT NULL,
    mark VARCHAR(32) NOT NULL,
    reason TEXT NOT NULL,
    set_by VARCHAR(64) NOT NULL,
    set_at BIGINT NOT NULL,
    PRIMARY KEY (customer, mark)
);
