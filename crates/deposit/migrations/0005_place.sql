CREATE TABLE place (
    id BIGINT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL,
    changes BIGINT NOT NULL,
    token BIGINT NOT NULL,
    news VARBINARY(60000)
);
-- What stood beside the place; what is left there tells how far balances are written back.
DELETE FROM folded WHERE id > 1;
