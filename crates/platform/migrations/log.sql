CREATE TABLE record (
    topic VARCHAR(64) NOT NULL,
    part BIGINT NOT NULL,
    off BIGINT NOT NULL,
    event_id VARBINARY(16) NOT NULL,
    event_key VARCHAR(64) NOT NULL,
    event_type VARCHAR(64) NOT NULL,
    payload TEXT NOT NULL,
    appended_at BIGINT NOT NULL,
    PRIMARY KEY (topic, part, off)
);
CREATE TABLE group_offset (
    grp VARCHAR(64) NOT NULL,
    topic VARCHAR(64) NOT NULL,
    part BIGINT NOT NULL,
    next_off BIGINT NOT NULL,
    PRIMARY KEY (grp, topic, part)
);
