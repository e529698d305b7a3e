package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"oddish/api"
	"oddish/internal/store"
)

// KeyState is a queue key with what waits and runs under it.
type KeyState struct {
	Key                       string
	Limit                     int
	Running, Queued, Retrying int
	Oldest                    *time.Time // when the trial that waits longest was queued
}

// Keys returns all queue keys that ever had a trial or were given a limit, sorted.
func (q *Queue) Keys(ctx context.Context) ([]KeyState, error) {
	// Each sub-query reads one partial index; finished jobs are in none.
	const query = `SELECT k.queue_key, k.max_running, CAST(COALESCE(SUM(c.running), 0) AS bigint), CAST(COALESCE(SUM(c.queued), 0) AS bigint),
			CAST(COALESCE(SUM(c.retrying), 0) AS bigint), MIN(c.oldest)
		FROM queue_keys k LEFT JOIN (
			SELECT queue_key, COUNT(*) AS running, 0 AS queued, 0 AS retrying, NULL AS oldest FROM jobs WHERE state = 'running' GROUP BY queue_key
			UNION ALL SELECT queue_key, 0, SUM(CASE WHEN state = 'queued' THEN 1 ELSE 0 END), SUM(CASE WHEN state = 'queued' THEN 0 ELSE 1 END), MIN(queued_at)
				FROM jobs WHERE ready = 1 GROUP BY queue_key
			UNION ALL SELECT queue_key, 0, 0, COUNT(*), MIN(queued_at) FROM jobs WHERE state = 'retrying' AND ready = 0 GROUP BY queue_key
		) c ON c.queue_key = k.queue_key
		GROUP BY k.queue_key, k.max_running ORDER BY k.queue_key`
	rows, err := q.db.Read().QueryContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("read queue keys: %w", err)
	}
	defer rows.Close()
	states := []KeyState{}
	for rows.Next() {
		var s KeyState
		var override *int
		var oldest *int64
		if err := rows.Scan(&s.Key, &override, &s.Running, &s.Queued, &s.Retrying, &oldest); err != nil {
			return nil, fmt.Errorf("read queue keys: %w", err)
		}
		s.Limit, s.Oldest = q.limits.of(s.Key, override), fromMillis(oldest)
		states = append(states, s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read queue keys: %w", err)
	}
	return states, nil
}

// SetLimit changes the limit of a queue key for the next claims and for good; 0 stops it, and a negative n restores the
// configured limit. Trials that already run above a lower limit are left alone.
func (q *Queue) SetLimit(ctx context.Context, key string, n int) error {
	var override *int
	if n >= 0 {
		override = &n
	}
	return q.record(ctx, func(l *ledger) error {
		_, err := l.tx.ExecContext(ctx, `INSERT INTO queue_keys (queue_key, max_running) VALUES ($1, $2)
			ON CONFLICT (queue_key) DO UPDATE SET max_running = excluded.max_running`, canonicalKey(key), override)
		if err != nil {
			return fmt.Errorf("set limit of queue key %s: %w", key, err)
		}
		l.wake = true
		return nil
	})
}

// Info says where the queued and retrying ones among the trials stand in their queue key; others are left out. A retry that
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
	return info, nil
}

// keyInfo adds what is known of the trials of one key.
func (q *Queue) keyInfo(ctx context.Context, key string, ids []string, info map[string]api.QueueInfo) error {
	var override *int
	var common api.QueueInfo
	row := q.db.Read().QueryRowContext(ctx, `SELECT max_running, (SELECT COUNT(*) FROM jobs WHERE state = 'running' AND queue_key = $1)
		FROM queue_keys WHERE queue_key = $1`, key)
	if err := row.Scan(&override, &common.RunningCount); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	common.ConcurrencyLimit = q.limits.of(key, override)
	wanted := make(map[string]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	const query = `SELECT id FROM (
			SELECT id, 0 AS due, priority, rank FROM jobs WHERE ready = 1 AND queue_key = $1
			UNION ALL SELECT id, available_at, priority, rank FROM jobs WHERE state = 'retrying' AND ready = 0 AND queue_key = $1
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
