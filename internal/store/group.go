package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// groupSize and groupTime bound how many transactions are committed together, and how long the first of them waits
	// for the last to begin.
	groupSize = 64
	groupTime = 10 * time.Millisecond
)

// errUndone is what a transaction gets that was undone with another one of its group: it is tried again.
var errUndone = errors.New("another transaction of the same commit was undone")

// groupCommit makes transactions that come at the same time share a commit, which writes to the disk: SQLite has one writer, and
// those that wait for it go on inside of the transaction that is open. Each is a savepoint of its own there, so that one that fails is
// undone alone; none returns before the commit that it is part of, or whose changes it has seen.
type groupCommit struct {
	turn    chan struct{} // full: somebody writes
	waiting atomic.Int32  // who come next
	open    *group        // that the one before has left open for them; only for who has the turn
	longest time.Duration // groupTime
}

func newGroupCommit() *groupCommit {
	return &groupCommit{turn: make(chan struct{}, 1), longest: groupTime}
}

// group is transactions that are committed together.
type group struct {
	tx    *sql.Tx
	begun time.Time
	size  int           // that have run
	done  chan struct{} // closed when err says how it ended
	err   error
}

func (g *group) end(err error) {
	g.err = err
	close(g.done)
}

// groupTx is tryTx for SQLite.
func (db *DB) groupTx(ctx context.Context, fn func(tx *sql.Tx) error) error {
	c := db.groups
	c.waiting.Add(1)
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		// What was left open for this one has to be committed.
		go func() {
			c.turn <- struct{}{}
			c.leave()
		}()
		return ctx.Err()
	}
	g, err := db.joinGroup(ctx, fn)
	if g == nil {
		return err
	}
	<-g.done
	if g.err != nil {
		return g.err // and not what fn found in what is now undone
	}
	return err
}

// joinGroup runs fn in the open group, or in a new one, and gives the turn to the next. The group is nil when err depends on none.
func (db *DB) joinGroup(ctx context.Context, fn func(tx *sql.Tx) error) (*group, error) {
	c := db.groups
	defer c.leave()
	if c.open != nil {
		g := c.open
		err := c.runNext(ctx, g, fn)
		if c.open != g { // undone because of this one, which is told why
			return nil, err
		}
		return g, err
	}
	tx, err := db.write.BeginTx(context.WithoutCancel(ctx), nil) // it may outlive ctx
	if err != nil {
		return nil, fmt.Errorf("begin transaction: %w", err)
	}
	c.open = &group{tx: tx, begun: time.Now(), done: make(chan struct{})}
	return c.runFirst(ctx, c.open, fn)
}

// leave commits the group unless there is somebody to go on with it, and gives the turn up.
func (c *groupCommit) leave() {
	next := c.waiting.Add(-1) > 0
	if g := c.open; g != nil && (!next || g.size >= groupSize || time.Since(g.begun) > c.longest) {
		c.open = nil
		err := g.tx.Commit()
		if err != nil {
			err = fmt.Errorf("commit transaction: %w", err)
		}
		g.end(err)
	}
	<-c.turn
}

// run is fn, unless its context ends before it does: then nothing may come of it.
func run(ctx context.Context, tx *sql.Tx, fn func(tx *sql.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return err
	}
	return ctx.Err()
}

// runFirst runs fn where nothing else was done yet. If it fails, the group ends with it.
func (c *groupCommit) runFirst(ctx context.Context, g *group, fn func(tx *sql.Tx) error) (*group, error) {
	kept := false
	defer func() {
		if !kept { // also when fn panics
			_ = g.tx.Rollback()
			c.open = nil
		}
	}()
	if err := run(ctx, g.tx, fn); err != nil {
		return nil, err
	}
	kept = true
	g.size++
	return g, nil
}

// runNext runs fn as a savepoint of the group. When SQLite has undone the whole group, as it does where it cannot write, the
// others try again.
func (c *groupCommit) runNext(ctx context.Context, g *group, fn func(tx *sql.Tx) error) (err error) {
	execute := func(statement string) error {
		_, err := g.tx.ExecContext(context.WithoutCancel(ctx), statement)
		return err
	}
	if err := execute("SAVEPOINT member"); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	kept := false
	defer func() {
		if kept {
			return
		}
		if execute("ROLLBACK TO member") == nil && execute("RELEASE member") == nil {
			return
		}
		_ = g.tx.Rollback()
		c.open = nil
		g.end(errUndone)
	}()
	if err := run(ctx, g.tx, fn); err != nil {
		return err
	}
	if err := execute("RELEASE member"); err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	kept = true
	g.size++
	return nil
}
