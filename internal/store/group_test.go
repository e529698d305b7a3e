package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// groupRig is a database on SQLite with a transaction that holds its writer until release is called.
type groupRig struct {
	*DB
	t       *testing.T
	release func()
	holder  *sql.Tx
	held    sync.WaitGroup
}

func newGroupRig(t *testing.T) *groupRig {
	t.Helper()
	db, err := Open(t.Context(), "sqlite:///"+filepath.Join(t.TempDir(), "oddish.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	db.groups.longest = time.Hour // the tests say when groups end, however slow the machine
	r := &groupRig{DB: db, t: t}
	begun, end := make(chan struct{}), make(chan struct{})
	r.release = sync.OnceFunc(func() { close(end); r.held.Wait() })
	t.Cleanup(r.release)
	var once sync.Once // it may be undone and run again
	r.held.Go(func() {
		err := r.add("holder", func(tx *sql.Tx) { once.Do(func() { r.holder = tx; close(begun); <-end }) })
		if err != nil {
			t.Errorf("the first transaction: %v", err)
		}
	})
	<-begun
	return r
}

// add inserts a row in a transaction; with is called in it.
func (r *groupRig) add(key string, with func(*sql.Tx)) error {
	return r.Tx(r.t.Context(), func(tx *sql.Tx) error {
		with(tx)
		_, err := tx.ExecContext(r.t.Context(), "INSERT INTO queue_keys (queue_key) VALUES ($1)", key)
		return err
	})
}

// waitFor returns when so many transactions are under way or wait.
func (r *groupRig) waitFor(n int32) {
	for r.groups.waiting.Load() < n {
		runtime.Gosched()
	}
}

func (r *groupRig) wantKeys(want ...string) {
	r.t.Helper()
	rows, err := Collect(r.t.Context(), r.read, "SELECT queue_key FROM queue_keys ORDER BY queue_key", nil, func(s *string) []any { return []any{s} })
	if err != nil {
		r.t.Fatal(err)
	}
	if slices.Sort(want); !slices.Equal(rows, want) {
		r.t.Errorf("the table has %q, want %q", rows, want)
	}
}

func TestTransactionsThatWaitShareACommit(t *testing.T) {
	t.Parallel()
	r := newGroupRig(t)
	const n = 10
	var all sync.WaitGroup
	want := []string{"holder"}
	for i := range n {
		key := fmt.Sprint("key ", i)
		want = append(want, key)
		all.Go(func() {
			err := r.add(key, func(tx *sql.Tx) {
				if tx != r.holder {
					t.Error("it has a transaction of its own")
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	r.waitFor(n + 1)
	r.release()
	all.Wait()
	r.wantKeys(want...)
}

func TestATransactionThatFailsIsUndoneAlone(t *testing.T) {
	t.Parallel()
	r := newGroupRig(t)
	broken := errors.New("broken")
	var all sync.WaitGroup
	all.Go(func() {
		err := r.Tx(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), "INSERT INTO queue_keys (queue_key) VALUES ('undone')")
			return errors.Join(broken, err)
		})
		if !errors.Is(err, broken) {
			t.Errorf("the error is %v", err)
		}
	})
	all.Go(func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic got lost")
			}
		}()
		_ = r.Tx(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), "INSERT INTO queue_keys (queue_key) VALUES ('also undone')")
			panic(err)
		})
	})
	all.Go(func() {
		if err := r.add("good", func(*sql.Tx) {}); err != nil {
			t.Error(err)
		}
	})
	r.waitFor(4)
	r.release()
	all.Wait()
	r.wantKeys("holder", "good")
}

func TestTransactionsThatAreUndoneWithAnotherRunAgain(t *testing.T) {
	t.Parallel()
	r := newGroupRig(t)
	var all sync.WaitGroup
	all.Go(func() {
		err := r.Tx(t.Context(), func(tx *sql.Tx) error {
			// What SQLite does by itself when the disk is full.
			_, err := tx.ExecContext(t.Context(), "ROLLBACK")
			return errors.Join(sql.ErrConnDone, err)
		})
		if !errors.Is(err, sql.ErrConnDone) {
			t.Errorf("the error is %v", err)
		}
	})
	r.waitFor(2)
	r.release() // which checks that the first one succeeds in the end
	all.Wait()
	r.wantKeys("holder")
}

func TestAWaitingTransactionCanBeGivenUp(t *testing.T) {
	t.Parallel()
	r := newGroupRig(t)
	ctx, giveUp := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		err := r.Tx(ctx, func(*sql.Tx) error { t.Error("it ran"); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
	})
	r.waitFor(2)
	giveUp()
	all.Wait()
	r.release()
	r.wantKeys("holder")
	if err := r.add("after", func(*sql.Tx) {}); err != nil {
		t.Error(err)
	}
	r.wantKeys("after", "holder")
}

func TestATransactionWhoseContextEndsInsideIsUndone(t *testing.T) {
	t.Parallel()
	r := newGroupRig(t)
	r.release()
	ctx, end := context.WithCancel(t.Context())
	err := r.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO queue_keys (queue_key) VALUES ('undone')")
		end()
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	r.wantKeys("holder")
}
