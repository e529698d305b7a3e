-- A database of schema 1, with some rows of every table. Released: never changed. The time in it is 1767323045678 (2026-01-02 03:04:05.678 UTC).

CREATE TABLE goose_db_version (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    version_id INTEGER NOT NULL,
    is_applied INTEGER NOT NULL,
    tstamp     TIMESTAMP DEFAULT (datetime('now'))
);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1), (1, 1);

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

INSERT INTO experiments (id, name, public, created_at, last_activity, last_event) VALUES ('e0000001', 'nightly', 1, 1767322445678, 1767323044678, 15);
INSERT INTO tasks (id, name, submitter, priority, experiment_id, tags, version, next_trial, created_at) VALUES
    ('hello-00000001', 'hello', 'ann', 0, 'e0000001', '{"kind":"short"}', 2, 6, 1767322345678);
INSERT INTO task_versions (task_id, version, content_hash, archive_key, message, created_at) VALUES
    ('hello-00000001', 1, 'hash-1', 'tasks/hello-00000001/v1.tar.gz', 'first', 1767322345678),
    ('hello-00000001', 2, 'hash-2', 'tasks/hello-00000001/v2.tar.gz', '', 1767322395678);
INSERT INTO trials (id, name, task_id, idx, task_name, version, content_hash, experiment_id, agent, model, provider, agent_config, harbor, created_at) VALUES
    ('hello-00000001-0', 'hello-0', 'hello-00000001', 0, 'hello', 2, 'hash-2', 'e0000001', 'codex', 'openai/gpt-5.2', 'openai', '{"kwargs":{"reasoning_effort":"high"}}', '{}', 1767322445678),
    ('hello-00000001-1', 'hello-1', 'hello-00000001', 1, 'hello', 2, 'hash-2', 'e0000001', 'codex', 'openai/gpt-5.2', 'openai', '{"kwargs":{"reasoning_effort":"high"}}', '{}', 1767322445678),
    ('hello-00000001-2', 'hello-2', 'hello-00000001', 2, 'hello', 2, 'hash-2', 'e0000001', 'codex', 'openai/gpt-5.2', 'openai', '{"kwargs":{"reasoning_effort":"high"}}', '{}', 1767322445678),
    ('hello-00000001-3', 'hello-3', 'hello-00000001', 3, 'hello', 1, 'hash-1', 'e0000001', 'codex', 'openai/gpt-5.2', 'openai', '{"kwargs":{"reasoning_effort":"high"}}', '{}', 1767322445678),
    ('hello-00000001-4', 'hello-4', 'hello-00000001', 4, 'hello', 1, 'hash-1', 'e0000001', 'codex', 'openai/gpt-5.2', 'openai', '{"kwargs":{"reasoning_effort":"high"}}', '{}', 1767322445678),
    ('hello-00000001-5', 'hello-5', 'hello-00000001', 5, 'hello', 1, 'hash-1', 'e0000001', 'codex', 'openai/gpt-5.2', 'openai', '{"kwargs":{"reasoning_effort":"high"}}', '{}', 1767322445678);
INSERT INTO jobs (id, kind, subject_id, task_id, experiment_id, queue_key, environment, priority, rank, state, ready, attempt, outcome_attempt, used_attempts, losses, max_attempts, available_at, worker_id, lease, lease_until, cancel_requested, queued_at, started_at, finished_at) VALUES
    ('hello-00000001-0', 'trial', 'hello-00000001-0', 'hello-00000001', 'e0000001', 'openai/gpt-5.2', 'fake', 0, 1, 'queued', 1, 0, 0, 0, 0, 3, NULL, '', '', NULL, 0, 1767322445678, NULL, NULL),
    ('hello-00000001-1', 'trial', 'hello-00000001-1', 'hello-00000001', 'e0000001', 'openai/gpt-5.2', 'fake', 0, 2, 'running', 0, 1, 0, 0, 0, 3, NULL, 'w', 'lease-1', 1767323105678, 0, 1767322445678, 1767323025678, NULL),
    ('hello-00000001-2', 'trial', 'hello-00000001-2', 'hello-00000001', 'e0000001', 'openai/gpt-5.2', 'fake', 0, 3, 'retrying', 0, 1, 1, 1, 0, 3, 1767323065678, '', '', NULL, 0, 1767322445678, 1767323025678, NULL),
    ('hello-00000001-3', 'trial', 'hello-00000001-3', 'hello-00000001', 'e0000001', 'openai/gpt-5.2', 'fake', 0, 4, 'success', 0, 1, 1, 1, 0, 3, NULL, '', '', NULL, 0, 1767322445678, 1767322545678, 1767323044678),
    ('hello-00000001-4', 'trial', 'hello-00000001-4', 'hello-00000001', 'e0000001', 'openai/gpt-5.2', 'fake', 0, 5, 'failed', 0, 1, 1, 1, 0, 3, NULL, '', '', NULL, 0, 1767322445678, 1767322545678, 1767323044678),
    ('hello-00000001-5', 'trial', 'hello-00000001-5', 'hello-00000001', 'e0000001', 'openai/gpt-5.2', 'fake', 0, 6, 'cancelled', 0, 0, 0, 0, 0, 3, NULL, '', '', NULL, 0, 1767322445678, NULL, 1767323044678);
INSERT INTO attempts (trial_id, attempt, worker_id, lease, trial_dir, sandbox_id, stage, last_seq, outcome, error_type, error_message, error_class, rewards, reward, phases, input_tokens, cache_tokens, output_tokens, cost_usd, has_trajectory, started_at, finished_at, finish_digest, retry_at) VALUES
    ('hello-00000001-1', 1, 'w', 'lease-1', 'jobs/nightly/hello__1', 'sandbox-1', 'agent_running', 2, 'running', '', '', '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 1767323025678, NULL, '', NULL),
    ('hello-00000001-2', 1, 'w', 'lease-2', 'jobs/nightly/hello__2', 'sandbox-2', 'completed', 2, 'retrying', 'SandboxLostError', 'gone', 'infrastructure', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 1767323025678, 1767323044678, 'digest', 1767323065678),
    ('hello-00000001-3', 1, 'w', 'lease-3', 'jobs/nightly/hello__3', 'sandbox-3', 'completed', 2, 'success', '', '', '', '{"reward":0.5}', 0.5, NULL, 1000, 10, 200, 0.25, 1, 1767322545678, 1767323044678, 'digest', NULL),
    ('hello-00000001-4', 1, 'w', 'lease-4', 'jobs/nightly/hello__4', 'sandbox-4', 'completed', 2, 'failed', 'RuntimeError', 'boom', 'infrastructure', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 1767322545678, 1767323044678, 'digest', NULL);
INSERT INTO tallies (experiment_id, task_id, queued, running, retrying, success, failed, cancelled, rewarded, passed, reward_sum, started_at, finished_at) VALUES
    ('e0000001', 'hello-00000001', 1, 1, 1, 1, 1, 1, 1, 0, 0.5, 1767322545678, 1767323044678);
INSERT INTO queue_keys (queue_key, pattern, max_running, paused, vtime_high, vtime_low, served_at) VALUES
    ('openai/gpt-5.2', 'openai/*', 5, 0, 5, 0, 1767323025678),
    ('openai/*', '', NULL, 0, 0, 0, 0),
    ('local', '', NULL, 1, 0, 0, 0);
INSERT INTO queue_changes (queue_key, seq, at, kind, from_limit, to_limit, reason, changed_by) VALUES
    ('openai/gpt-5.2', 1, 1767322745678, 'limit', 8, 5, 'quota', 'ann'),
    ('local', 1, 1767322845678, 'pause', NULL, NULL, 'repair', 'ann');
INSERT INTO workers (id, hostname, version, sandboxes, first_seen, last_seen) VALUES
    ('w', 'host', '0.1.0', 'fake', 1767322445678, 1767323044678);
INSERT INTO api_keys (id, name, prefix, hash, scope, created_at) VALUES
    ('k1', 'ci', 'odd_k1', 'hash-of-k1', 'admin', 1767322445678);
INSERT INTO events (experiment_id, id, trial_id, attempt, at, kind, status, stage, reward, error_type) VALUES
    ('e0000001', 1, 'hello-00000001-0', 0, 1767322445678, 'queued', 'queued', '', NULL, ''),
    ('e0000001', 2, 'hello-00000001-1', 0, 1767322445678, 'queued', 'queued', '', NULL, ''),
    ('e0000001', 3, 'hello-00000001-1', 1, 1767323025678, 'started', 'running', 'starting', NULL, ''),
    ('e0000001', 4, 'hello-00000001-1', 1, 1767323026678, 'stage', 'running', 'agent_running', NULL, ''),
    ('e0000001', 5, 'hello-00000001-2', 0, 1767322445678, 'queued', 'queued', '', NULL, ''),
    ('e0000001', 6, 'hello-00000001-2', 1, 1767323025678, 'started', 'running', 'starting', NULL, ''),
    ('e0000001', 7, 'hello-00000001-2', 1, 1767323044678, 'retrying', 'retrying', '', NULL, 'SandboxLostError'),
    ('e0000001', 8, 'hello-00000001-3', 0, 1767322445678, 'queued', 'queued', '', NULL, ''),
    ('e0000001', 9, 'hello-00000001-3', 1, 1767322545678, 'started', 'running', 'starting', NULL, ''),
    ('e0000001', 10, 'hello-00000001-3', 1, 1767323044678, 'finished', 'success', 'completed', 0.5, ''),
    ('e0000001', 11, 'hello-00000001-4', 0, 1767322445678, 'queued', 'queued', '', NULL, ''),
    ('e0000001', 12, 'hello-00000001-4', 1, 1767322545678, 'started', 'running', 'starting', NULL, ''),
    ('e0000001', 13, 'hello-00000001-4', 1, 1767323044678, 'finished', 'failed', '', NULL, 'RuntimeError'),
    ('e0000001', 14, 'hello-00000001-5', 0, 1767322445678, 'queued', 'queued', '', NULL, ''),
    ('e0000001', 15, 'hello-00000001-5', 0, 1767323044678, 'cancelled', 'cancelled', '', NULL, '');
