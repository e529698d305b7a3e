-- What each model was used for, and what is used on a day.

-- +goose Up
ALTER TABLE attempts ADD COLUMN model_usage text; -- JSON; null: unknown

-- What the attempts of an experiment have used of models on a day, replays left out. It does not refer to the experiment: when that is deleted, what it used
-- is used all the same.
CREATE TABLE days (
    day           text NOT NULL, -- of UTC, such as 2026-11-25
    experiment_id text NOT NULL,
    input_tokens  bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    model_calls   bigint NOT NULL DEFAULT 0,
    cost_usd      double precision NOT NULL DEFAULT 0, -- of calls with a known price
    PRIMARY KEY (day, experiment_id)
);

-- +goose Down
DROP TABLE days;
ALTER TABLE attempts DROP COLUMN model_usage;
