CREATE TABLE saga (
    id VARBINARY(16) NOT NULL PRIMARY KEY,
    name VARCHAR(32) NOT NULL,
    version BIGINT NOT NULL,
    state TEXT NOT NULL,
    step VARCHAR(32) NOT NULL,
    steps BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    due_at BIGINT,
    why TEXT NOT NULL,
    began_at BIGINT NOT NULL,
    moved_at BIGINT NOT NULL
);
CREATE INDEX saga_by_due ON saga (name, due_at, id);
