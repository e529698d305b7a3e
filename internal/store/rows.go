package store

import (
	"context"
)

const defaultLimit = 100

// page is the LIMIT and OFFSET of a list; limit 0 means defaultLimit.
func (a *Args) page(limit, offset int) string {
	if limit <= 0 {
		limit = defaultLimit
	}
	return " LIMIT " + a.Add(limit) + " OFFSET " + a.Add(max(offset, 0))
}

// Collect reads all rows of a query, each into the targets of a new T. The list is never nil.
func Collect[T any](ctx context.Context, q Querier, query string, args []any, targets func(*T) []any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []T{}
	for rows.Next() {
		var item T
		if err := rows.Scan(targets(&item)...); err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, rows.Err()
}

// Texts reads the one column of text that a query gives.
func Texts(ctx context.Context, q Querier, query string, args ...any) ([]string, error) {
	return Collect(ctx, q, query, args, func(s *string) []any { return []any{s} })
}
