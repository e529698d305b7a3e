package queue

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"oddish/api"
	"oddish/internal/store"
)

// Finish ends a run with the worker's report and says what becomes of the trial. The same report under the same lease gets
// the same answer again and changes nothing; anything else that does not hold the lease is ErrStale.
//
// The outcome cancelled means that the worker stopped the run: if a cancel was asked for, the trial is cancelled, otherwise (a worker
// that drains) it is taken up again without using up an attempt.
func (q *Queue) Finish(ctx context.Context, jobID, lease string, f api.Finish) (api.FinishAck, error) {
	text, err := store.JSON(f)
	if err != nil {
		return api.FinishAck{}, fmt.Errorf("finish job %s: %w", jobID, err)
	}
	// What a program printed may be anything; PostgreSQL takes no NUL and only UTF-8.
	f.ErrorType, f.ErrorMessage = printable(f.ErrorType), printable(f.ErrorMessage)
	sum := sha256.Sum256([]byte(text))
	digest := hex.EncodeToString(sum[:])
	var ack api.FinishAck
	err = q.recordJob(ctx, jobID, func(ctx context.Context, l *ledger) error {
		toKey, err := l.lockFeedback(ctx, jobID, &f)
		if err != nil {
			return err
		}
		j, err := l.lockLeased(ctx, jobID, lease)
		if errors.Is(err, ErrStale) {
			ack, err = l.repeated(ctx, jobID, lease, digest)
			return err
		}
		if err != nil {
			return err
		}
		v, err := decide(&j, &f, l.now, q.random())
		if err != nil {
			return err
		}
		ack = api.FinishAck{Status: v.state}
		if v.state == api.StatusRetrying {
			at := v.availableAt.UnixMilli()
			ack.RetryAt = fromMillis(&at)
		}
		if err := q.tell(ctx, l, toKey, &f); err != nil {
			return err
		}
		return l.settle(ctx, &j, v, &f, digest)
	})
	if err != nil {
		return api.FinishAck{}, err
	}
	return ack, nil
}

// repeated answers a report that was accepted before, or ErrStale.
func (l *ledger) repeated(ctx context.Context, jobID, lease, digest string) (api.FinishAck, error) {
	var ack api.FinishAck
	var retryAt *int64
	row := l.tx.QueryRowContext(ctx, "SELECT outcome, retry_at FROM attempts WHERE trial_id = $1 AND lease = $2 AND finish_digest = $3",
		jobID, lease, digest)
	if err := row.Scan(&ack.Status, &retryAt); errors.Is(err, sql.ErrNoRows) {
		return api.FinishAck{}, stale(jobID)
	} else if err != nil {
		return api.FinishAck{}, fmt.Errorf("read attempt of trial %s: %w", jobID, err)
	}
	ack.RetryAt = fromMillis(retryAt)
	return ack, nil
}

func printable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
