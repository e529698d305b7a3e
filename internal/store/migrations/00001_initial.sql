-- One text for PostgreSQL and SQLite. Times are milliseconds since 1970 in UTC, flags are 0 or 1,
-- maps and lists are JSON in text columns.

-- +goose Up
CREATE TABLE experiments (
    id            text     NOT NULL PRIMARY KEY,
    name          text     NOT NULL,
    public        smallint NOT NULL DEFAULT 0,
    created_at    bigint   NOT NULL,
    last_activity bigint   NOT NULL,
    last_event    bigint   NOT NULL DEFAULT 0 -- id of the newest row in events
);
CREATE INDEX experiments_name ON experiments (name, created_at);
CREATE INDEX experiments_activity ON experiments (last_activity, id);

CREATE TABLE tasks (
    id              text     NOT NULL PRIMARY KEY,
    name            text     NOT NULL UNIQUE,
    submitter       text     NOT NULL DEFAULT '',
    priority        smallint NOT NULL DEFAULT 1, -- 0 high, 1 low
    experiment_id   text     REFERENCES experiments (id) ON DELETE SET NULL,
    tags            text     NOT NULL DEFAULT '{}',
    github_username text     NOT NULL DEFAULT '',
    run_analysis    smallint NOT NULL DEFAULT 0,
    version         integer  NOT NULL DEFAULT 0, -- newest; 0 before the first upload was completed
    next_trial      integer  NOT NULL DEFAULT 0, -- index of the next trial; never goes back
    created_at      bigint   NOT NULL
);
CREATE INDEX tasks_created ON tasks (created_at, id);
CREATE INDEX tasks_submitter ON tasks (submitter, created_at, id);
CREATE INDEX tasks_experiment ON tasks (experiment_id);

CREATE TABLE task_versions (
    task_id      text    NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    version      integer NOT NULL,
    content_hash text    NOT NULL,
    archive_key  text    NOT NULL,
    message      text    NOT NULL DEFAULT '',
    created_at   bigint  NOT NULL,
    PRIMARY KEY (task_id, version)
);

-- What to run. The state is in jobs, what came out in attempts.
CREATE TABLE trials (
    id            text     NOT NULL PRIMARY KEY,
    name          text     NOT NULL,
    task_id       text     NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    idx           integer  NOT NULL,
    task_name     text     NOT NULL,
    version       integer  NOT NULL,
    content_hash  text     NOT NULL,
    experiment_id text     NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
    agent         text     NOT NULL,
    model         text     NOT NULL,
    provider      text     NOT NULL,
    source        text     NOT NULL DEFAULT '',
    agent_config  text     NOT NULL,
    harbor        text     NOT NULL,
    has_secrets   smallint NOT NULL DEFAULT 0,
    secrets       text, -- sealed; null once the trial is terminal
    created_at    bigint   NOT NULL,
    UNIQUE (task_id, idx)
);
CREATE INDEX trials_experiment ON trials (experiment_id, task_id, idx);

-- The queue. A trial's job has the trial's id.
CREATE TABLE jobs (
    id               text     NOT NULL PRIMARY KEY,
    kind             text     NOT NULL,
    subject_id       text     NOT NULL,
    task_id          text     NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    experiment_id    text     NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
    queue_key        text     NOT NULL,
    environment      text     NOT NULL, -- kind of sandbox that the worker must offer
    priority         smallint NOT NULL, -- 0 high, 1 low
    rank             bigint   NOT NULL, -- start tag of fair queuing, within queue_key and priority
    state            text     NOT NULL,
    ready            smallint NOT NULL, -- 1: may be claimed now
    attempt          integer  NOT NULL DEFAULT 0, -- runs started
    outcome_attempt  integer  NOT NULL DEFAULT 0, -- the run that tells the outcome; 0: none
    used_attempts    integer  NOT NULL DEFAULT 0, -- runs that used up one of max_attempts
    losses           integer  NOT NULL DEFAULT 0, -- runs that ended because their worker was lost
    max_attempts     integer  NOT NULL,
    available_at     bigint, -- while retrying
    worker_id        text     NOT NULL DEFAULT '',
    lease            text     NOT NULL DEFAULT '',
    lease_until      bigint, -- while running
    cancel_requested smallint NOT NULL DEFAULT 0,
    queued_at        bigint   NOT NULL,
    started_at       bigint, -- of the first run
    finished_at      bigint  -- once terminal
);
-- Each statement of the queue has its index, and each index holds only rows that are in that situation, so
-- that finished jobs, however many, cost nothing.
CREATE INDEX jobs_ready ON jobs (queue_key, environment, priority, rank, id) WHERE ready = 1;
CREATE INDEX jobs_delayed ON jobs (available_at, queue_key) WHERE state = 'retrying' AND ready = 0;
CREATE INDEX jobs_running ON jobs (queue_key) WHERE state = 'running';
CREATE INDEX jobs_leases ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_cancelled ON jobs (worker_id) WHERE state = 'running' AND cancel_requested = 1;
CREATE INDEX jobs_experiment ON jobs (experiment_id, queue_key, priority, rank);
CREATE INDEX jobs_task ON jobs (task_id);

-- One row for each run of a trial; none is ever overwritten by the next.
CREATE TABLE attempts (
    trial_id       text     NOT NULL REFERENCES trials (id) ON DELETE CASCADE,
    attempt        integer  NOT NULL,
    worker_id      text     NOT NULL,
    lease          text     NOT NULL,
    trial_dir      text     NOT NULL UNIQUE,
    sandbox_id     text     NOT NULL DEFAULT '',
    stage          text     NOT NULL DEFAULT '',
    last_seq       bigint   NOT NULL DEFAULT 0, -- newest progress event seen
    outcome        text     NOT NULL,
    error_type     text     NOT NULL DEFAULT '',
    error_message  text     NOT NULL DEFAULT '',
    error_class    text     NOT NULL DEFAULT '',
    rewards        text,
    reward         double precision,
    phases         text,
    input_tokens   bigint,
    cache_tokens   bigint,
    output_tokens  bigint,
    cost_usd       double precision,
    has_trajectory smallint NOT NULL DEFAULT 0,
    started_at     bigint   NOT NULL,
    finished_at    bigint,
    finish_digest  text     NOT NULL DEFAULT '', -- of the report that was accepted
    retry_at       bigint, -- as answered to that report
    PRIMARY KEY (trial_id, attempt)
);

-- Counts of the trials of a task in an experiment, kept in the transactions that change them, so that no list counts trials.
CREATE TABLE tallies (
    experiment_id text    NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
    task_id       text    NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    queued        integer NOT NULL DEFAULT 0,
    running       integer NOT NULL DEFAULT 0,
    retrying      integer NOT NULL DEFAULT 0,
    success       integer NOT NULL DEFAULT 0,
    failed        integer NOT NULL DEFAULT 0,
    cancelled     integer NOT NULL DEFAULT 0,
    rewarded      integer NOT NULL DEFAULT 0,
    passed        integer NOT NULL DEFAULT 0,
    reward_sum    double precision NOT NULL DEFAULT 0,
    started_at    bigint,
    finished_at   bigint,
    PRIMARY KEY (experiment_id, task_id)
);
CREATE INDEX tallies_task ON tallies (task_id);

-- A key's row, or that of a pattern PROVIDER/*, which bounds all keys of the provider together.
CREATE TABLE queue_keys (
    queue_key   text   NOT NULL PRIMARY KEY,
    pattern     text   NOT NULL DEFAULT '', -- that the key falls under; empty: none
    max_running integer, -- set at run time; null: as configured
    paused      smallint NOT NULL DEFAULT 0,
    vtime_high  bigint NOT NULL DEFAULT 0, -- rank of the newest claim of each priority
    vtime_low   bigint NOT NULL DEFAULT 0,
    served_at   bigint NOT NULL DEFAULT 0 -- newest claim
);
CREATE INDEX queue_keys_pattern ON queue_keys (pattern);

-- What operators did to a key.
CREATE TABLE queue_changes (
    queue_key  text    NOT NULL REFERENCES queue_keys (queue_key) ON DELETE CASCADE,
    seq        integer NOT NULL, -- counts from 1 for each key
    at         bigint  NOT NULL,
    kind       text    NOT NULL,
    from_limit integer, -- as in force before and after; null: none
    to_limit   integer,
    reason     text    NOT NULL,
    changed_by text    NOT NULL,
    PRIMARY KEY (queue_key, seq)
);

CREATE TABLE workers (
    id         text   NOT NULL PRIMARY KEY,
    hostname   text   NOT NULL,
    version    text   NOT NULL,
    sandboxes  text   NOT NULL,
    first_seen bigint NOT NULL,
    last_seen  bigint NOT NULL
);

CREATE TABLE api_keys (
    id           text   NOT NULL PRIMARY KEY,
    name         text   NOT NULL,
    prefix       text   NOT NULL,
    hash         text   NOT NULL UNIQUE,
    scope        text   NOT NULL,
    created_at   bigint NOT NULL,
    last_used_at bigint,
    expires_at   bigint,
    revoked_at   bigint
);

CREATE TABLE events (
    experiment_id text    NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
    id            bigint  NOT NULL, -- counts from 1 in each experiment
    trial_id      text    NOT NULL REFERENCES trials (id) ON DELETE CASCADE,
    attempt       integer NOT NULL,
    at            bigint  NOT NULL,
    kind          text    NOT NULL,
    status        text    NOT NULL,
    stage         text    NOT NULL DEFAULT '',
    reward        double precision,
    error_type    text    NOT NULL DEFAULT '',
    PRIMARY KEY (experiment_id, id)
);
CREATE INDEX events_trial ON events (trial_id, id);

-- +goose Down
DROP TABLE events;
DROP TABLE api_keys;
DROP TABLE workers;
DROP TABLE queue_changes;
DROP TABLE queue_keys;
DROP TABLE tallies;
DROP TABLE attempts;
DROP TABLE jobs;
DROP TABLE trials;
DROP TABLE task_versions;
DROP TABLE tasks;
DROP TABLE experiments;
