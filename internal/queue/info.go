package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"oddish/api"
	"oddish/internal/store"
)

// Info says where the queued and retrying ones among the trials stand in their queue key; others are left out, as are those in paused experiments. A retry that
// is not due yet stands behind all that may start now.
func (q *Queue) Info(ctx context.Context, trials []store.Trial) (map[string]api.QueueInfo, error) {
	waiting := map[string][]string{}
	for _, t := range trials {
		if t.Status == api.StatusQueued || t.Status == api.StatusRetrying {
			waiting[t.QueueKey] = append(waiting[t.QueueKey], t.ID)
		}
	}
	info := map[string]api.QueueInfo{}
	for key, ids := range waiting {
		if err := q.keyInfo(ctx, key, ids, info); err != nil {
			return nil, fmt.Errorf("read queue of %s: %w", key, err)
		}
	}
	return info, q.noteUnserved(ctx, trials, info)
}

// offeredFor is how long what a worker offers is believed without a sign of it: those that only wait are noted every registerEvery.
const offeredFor = 2 * registerEvery

// noteUnserved notes the trials whose kind of sandbox no worker has offered lately.
func (q *Queue) noteUnserved(ctx context.Context, trials []store.Trial, info map[string]api.QueueInfo) error {
	if len(info) == 0 {
		return nil
	}
	lists, err := store.Texts(ctx, q.db.Read(), "SELECT DISTINCT sandboxes FROM workers WHERE last_seen > $1", q.now().Add(-offeredFor).UnixMilli())
	if err != nil {
		return fmt.Errorf("read what workers offer: %w", err)
	}
	offered := map[string]bool{}
	for _, list := range lists {
		var kinds []string
		if err := json.Unmarshal([]byte(list), &kinds); err != nil {
			return fmt.Errorf("read what workers offer: %w", err)
		}
		for _, k := range kinds {
			offered[k] = true
		}
	}
	for _, t := range trials {
		if place, waits := info[t.ID]; waits && !offered[t.Environment] {
			place.Unserved = true
			info[t.ID] = place
		}
	}
	return nil
}

// keyInfo adds what is known of the trials of one key.
func (q *Queue) keyInfo(ctx context.Context, key string, ids []string, info map[string]api.QueueInfo) error {
	var override *int
	var a adaptation
	var common api.QueueInfo
	row := q.db.Read().QueryRowContext(ctx, `SELECT max_running, adapted, (SELECT COUNT(*) FROM jobs WHERE state = 'running' AND queue_key = $1)
		FROM queue_keys WHERE queue_key = $1`, key)
	if err := row.Scan(&override, &a.limit, &common.RunningCount); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	common.ConcurrencyLimit = a.effective(q.limits.of(key, override))
	wanted := make(map[string]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	const query = `SELECT id FROM (
			SELECT id, 0 AS due, priority, rank FROM jobs WHERE ready = 1 AND queue_key = $1
			UNION ALL SELECT id, available_at, priority, rank FROM jobs WHERE state = 'retrying' AND ready = 0 AND held = 0 AND queue_key = $1
		) AS waiting ORDER BY due, priority, rank, id`
	rows, err := q.db.Read().QueryContext(ctx, query, key)
	if err != nil {
		return err
	}
	defer rows.Close()
	found := map[string]int{}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		common.QueuedCount++
		if wanted[id] {
			found[id] = common.QueuedCount
		}
	}
	for id, position := range found {
		place := common
		place.Position, place.Ahead = position, position-1
		info[id] = place
	}
	return rows.Err()
}
