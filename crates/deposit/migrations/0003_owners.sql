-- Nothing is decided by it, and what is not needed of a person is not kept.
ALTER TABLE owner DROP COLUMN birth_date;
