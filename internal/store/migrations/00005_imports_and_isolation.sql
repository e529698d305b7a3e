-- Experiments that ran elsewhere, and how well trials were isolated.

-- +goose Up
ALTER TABLE experiments ADD COLUMN imported_job text NOT NULL DEFAULT ''; -- id of the job that it was imported from; empty: it ran here
ALTER TABLE experiments ADD COLUMN imported_from text NOT NULL DEFAULT ''; -- program that ran that job
CREATE UNIQUE INDEX experiments_imported ON experiments (imported_job) WHERE imported_job <> '';
ALTER TABLE trials ADD COLUMN imported smallint NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN isolation smallint; -- level; null: unknown

-- +goose Down
ALTER TABLE attempts DROP COLUMN isolation;
ALTER TABLE trials DROP COLUMN imported;
DROP INDEX experiments_imported;
ALTER TABLE experiments DROP COLUMN imported_from;
ALTER TABLE experiments DROP COLUMN imported_job;
