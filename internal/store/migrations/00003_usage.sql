-- What the model gateway counts, and budgets of experiments.

-- +goose Up
ALTER TABLE attempts ADD COLUMN cache_write_tokens bigint;
ALTER TABLE attempts ADD COLUMN reasoning_tokens bigint;
ALTER TABLE attempts ADD COLUMN model_calls bigint;
ALTER TABLE attempts ADD COLUMN cost_estimated smallint; -- null: unknown
ALTER TABLE attempts ADD COLUMN cost_source text NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN price_version text NOT NULL DEFAULT '';

-- What all attempts of an experiment have used of models, kept in the transactions that change attempts, and what they may use. There is no row
-- for an experiment of which neither is known.
CREATE TABLE usages (
    experiment_id text NOT NULL PRIMARY KEY REFERENCES experiments (id) ON DELETE CASCADE,
    budget_usd    double precision, -- null: no bound
    budget_tokens bigint,
    budget_calls  bigint,
    input_tokens  bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    model_calls   bigint NOT NULL DEFAULT 0,
    cost_usd      double precision NOT NULL DEFAULT 0,
    counted       bigint NOT NULL DEFAULT 0, -- attempts whose tokens are known
    priced        bigint NOT NULL DEFAULT 0, -- attempts whose cost is known
    estimated     bigint NOT NULL DEFAULT 0  -- attempts whose usage is an estimate
);

-- +goose Down
DROP TABLE usages;
ALTER TABLE attempts DROP COLUMN price_version;
ALTER TABLE attempts DROP COLUMN cost_source;
ALTER TABLE attempts DROP COLUMN cost_estimated;
ALTER TABLE attempts DROP COLUMN model_calls;
ALTER TABLE attempts DROP COLUMN reasoning_tokens;
ALTER TABLE attempts DROP COLUMN cache_write_tokens;
