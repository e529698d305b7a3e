package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"oddish/internal/store"
)

// ErrKeyReused says that an idempotency key came with another request before.
var ErrKeyReused = errors.New("idempotency key was used for another request")

// AnswersKept is how long the answer to a submission with an idempotency key is given again.
const AnswersKept = 24 * time.Hour

// expiredChunk is how many old answers one submission removes.
const expiredChunk = 100

// Once marks a submission that is carried out once, however often it comes.
type Once struct {
	Key     string // drawn by the client; empty: each submission is a new one
	Request string // digest of the request; another one under the same key is refused
}

// Replay gives the answer to the submission if it was carried out within AnswersKept. ErrKeyReused if the key
// belongs to another request.
func (q *Queue) Replay(ctx context.Context, o Once) (answer string, found bool, err error) {
	if o.Key == "" {
		return "", false, nil
	}
	return readAnswer(ctx, q.db.Read(), o, q.now().Add(-AnswersKept))
}

func readAnswer(ctx context.Context, db store.Querier, o Once, since time.Time) (answer string, found bool, err error) {
	var request string
	row := db.QueryRowContext(ctx, "SELECT request, response FROM submissions WHERE idempotency_key = $1 AND created_at > $2", o.Key, since.UnixMilli())
	switch err := row.Scan(&request, &answer); {
	case errors.Is(err, sql.ErrNoRows):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("look up idempotency key: %w", err)
	case request != o.Request:
		return "", false, ErrKeyReused
	}
	return answer, true, nil
}

// once takes the key for this transaction, or gives the answer of the submission that had it. While another
// transaction holds the key it waits: PostgreSQL for the inserted row, SQLite for the only writer.
func (l *ledger) once(ctx context.Context, o Once) (answer string, found bool, err error) {
	if o.Key == "" {
		return "", false, nil
	}
	since := l.now.Add(-AnswersKept)
	const query = `INSERT INTO submissions AS s (idempotency_key, request, response, created_at) VALUES ($1, $2, '', $3)
		ON CONFLICT (idempotency_key) DO UPDATE SET request = excluded.request, response = '', created_at = excluded.created_at
			WHERE s.created_at <= $4`
	res, err := l.tx.ExecContext(ctx, query, o.Key, o.Request, l.now.UnixMilli(), since.UnixMilli())
	if err != nil {
		return "", false, fmt.Errorf("take idempotency key: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil {
		return "", false, fmt.Errorf("take idempotency key: %w", err)
	} else if n == 1 {
		return "", false, l.forgetAnswers(ctx, since)
	}
	return readAnswer(ctx, l.tx, o, since)
}

// forgetAnswers removes some of those that are too old. Rows that another submission is removing are left to it.
func (l *ledger) forgetAnswers(ctx context.Context, since time.Time) error {
	lock := l.db.ForUpdate()
	if lock != "" {
		lock += " SKIP LOCKED"
	}
	query := `DELETE FROM submissions WHERE idempotency_key IN (
		SELECT idempotency_key FROM submissions WHERE created_at <= $1 ORDER BY created_at LIMIT $2` + lock + ")"
	if _, err := l.tx.ExecContext(ctx, query, since.UnixMilli(), expiredChunk); err != nil {
		return fmt.Errorf("remove old answers: %w", err)
	}
	return nil
}

// answer makes the answer to the submission, now that all else is written, and keeps it if the submission has a key.
func (l *ledger) answer(ctx context.Context, s *Submission, r *SubmitResult) error {
	if s.Answer == nil {
		return nil
	}
	var err error
	if r.Answer, err = s.Answer(ctx, l.tx, *r); err != nil || s.Once.Key == "" {
		return err
	}
	if _, err := l.tx.ExecContext(ctx, "UPDATE submissions SET response = $1 WHERE idempotency_key = $2", r.Answer, s.Once.Key); err != nil {
		return fmt.Errorf("keep the answer: %w", err)
	}
	return nil
}
