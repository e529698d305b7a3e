-- Pauses of experiments, limits that follow a provider's rate limits, submissions that may be repeated, and queries of trials.

-- +goose Up
ALTER TABLE experiments ADD COLUMN paused smallint NOT NULL DEFAULT 0;
CREATE INDEX experiments_paused ON experiments (id) WHERE paused = 1;

-- 1: waits in a paused experiment; such a job is never ready.
ALTER TABLE jobs ADD COLUMN held smallint NOT NULL DEFAULT 0;
DROP INDEX jobs_delayed;
CREATE INDEX jobs_delayed ON jobs (available_at, queue_key) WHERE state = 'retrying' AND ready = 0 AND held = 0;
CREATE INDEX jobs_held ON jobs (queue_key, experiment_id) WHERE held = 1;

-- What a provider's rate limits have made of a key's limit.
ALTER TABLE queue_keys ADD COLUMN adapted integer; -- limit in force below the set one; null: the set one
ALTER TABLE queue_keys ADD COLUMN threshold integer; -- up to here adapted grows with each success at the limit
ALTER TABLE queue_keys ADD COLUMN successes integer NOT NULL DEFAULT 0; -- at the limit, since adapted grew
ALTER TABLE queue_keys ADD COLUMN episodes integer NOT NULL DEFAULT 0; -- of rate limits, since a success
ALTER TABLE queue_keys ADD COLUMN episode_at bigint; -- when the newest one began
ALTER TABLE queue_keys ADD COLUMN held_until bigint; -- nothing is started before; null: not held
CREATE INDEX queue_keys_held ON queue_keys (held_until) WHERE held_until IS NOT NULL;

-- Answers to submissions that carried an Idempotency-Key.
CREATE TABLE submissions (
    idempotency_key text   NOT NULL PRIMARY KEY,
    request         text   NOT NULL, -- SHA-256 of the body, hex
    response        text   NOT NULL, -- JSON
    created_at      bigint NOT NULL
);
CREATE INDEX submissions_age ON submissions (created_at);

-- What lists and queries of trials go by.
CREATE INDEX trials_created ON trials (created_at DESC, task_id, idx);
CREATE INDEX jobs_failed ON jobs (id) WHERE state = 'failed';
CREATE INDEX jobs_stopped ON jobs (id) WHERE state = 'cancelled';
CREATE INDEX attempts_errors ON attempts (error_type, trial_id) WHERE error_type <> '';

-- What all servers of the database have in common: a fingerprint of their secret key, the id of their artifacts.
CREATE TABLE identity (
    name  text NOT NULL PRIMARY KEY,
    value text NOT NULL
);

-- The columns after id are there for the counts of a key, which then read the index alone.
DROP INDEX jobs_ready;
CREATE INDEX jobs_ready ON jobs (queue_key, environment, priority, rank, id, state, queued_at, ready) WHERE ready = 1;

-- +goose Down
DROP INDEX jobs_ready;
CREATE INDEX jobs_ready ON jobs (queue_key, environment, priority, rank, id) WHERE ready = 1;
DROP TABLE identity;
DROP INDEX attempts_errors;
DROP INDEX jobs_stopped;
DROP INDEX jobs_failed;
DROP INDEX trials_created;
DROP TABLE submissions;
DROP INDEX queue_keys_held;
ALTER TABLE queue_keys DROP COLUMN held_until;
ALTER TABLE queue_keys DROP COLUMN episode_at;
ALTER TABLE queue_keys DROP COLUMN episodes;
ALTER TABLE queue_keys DROP COLUMN successes;
ALTER TABLE queue_keys DROP COLUMN threshold;
ALTER TABLE queue_keys DROP COLUMN adapted;
DROP INDEX jobs_held;
DROP INDEX jobs_delayed;
CREATE INDEX jobs_delayed ON jobs (available_at, queue_key) WHERE state = 'retrying' AND ready = 0;
ALTER TABLE jobs DROP COLUMN held;
DROP INDEX experiments_paused;
ALTER TABLE experiments DROP COLUMN paused;
