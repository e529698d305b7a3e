package queue

import (
	"context"
	"strings"

	"oddish/internal/store"
)

// maxChunk is how many rows one statement writes.
const maxChunk = 32

// inChunks calls fn with all items in turn, in parts whose lengths are powers of two: so there are few statements, of few texts, and
// the database keeps them prepared.
func inChunks[T any](items []T, fn func([]T) error) error {
	for size := maxChunk; size > 0; size /= 2 {
		for len(items) >= size {
			if err := fn(items[:size]); err != nil {
				return err
			}
			items = items[size:]
		}
	}
	return nil
}

// valueRows is what follows VALUES, with one row for each item, see store.Args.Row.
func valueRows[T any](items []T, row func(T) string) string {
	rows := make([]string, len(items))
	for i, item := range items {
		rows[i] = row(item)
	}
	return strings.Join(rows, ", ")
}

// readRows calls fn for each row of a query.
func readRows(ctx context.Context, db store.Querier, query string, args []any, fn func(scan func(...any) error) error) error {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
