package store

import (
	"context"
	"database/sql/driver"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
)

// Stats says what the database has been asked and what is open for it.
type Stats struct {
	Statements  int64 // sent since Open; the begins and ends of transactions count as well
	Connections int   // open now, those in use among them; 0 to the size of the pool
	InUse       int
}

// Stats may be called at any time; it asks the database nothing.
func (db *DB) Stats() Stats {
	s := Stats{Statements: db.statements.n.Load()}
	pools := db.pools()
	for _, pool := range pools {
		now := pool.Stats()
		s.Connections += now.OpenConnections
		s.InUse += now.InUse
	}
	return s
}

// statements counts what is sent to a database.
type statements struct{ n atomic.Int64 }

var _ pgx.QueryTracer = (*statements)(nil)

// TraceQueryStart implements pgx.QueryTracer.
func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	s.n.Add(1)
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// countingConnector counts for SQLite, whose driver has no tracer.
type countingConnector struct {
	driver.Connector
	s *statements
}

// Connect implements driver.Connector.
func (c countingConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	inner, ok := conn.(sqliteConn)
	if !ok {
		return nil, fmt.Errorf("the driver of SQLite lacks a part: %T", conn)
	}
	return countingConn{inner, c.s}, nil
}

// sqliteConn is what the driver's connections can do.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type countingConn struct {
	sqliteConn
	s *statements
}

func (c countingConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	c.s.n.Add(1)
	tx, err := c.sqliteConn.BeginTx(ctx, o)
	if err != nil {
		return nil, err
	}
	return countingTx{tx, c.s}, nil
}

func (c countingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.s.n.Add(1)
	return c.sqliteConn.ExecContext(ctx, query, args)
}

func (c countingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.s.n.Add(1)
	return c.sqliteConn.QueryContext(ctx, query, args)
}

func (c countingConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	stmt, err := c.sqliteConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	inner, ok := stmt.(sqliteStmt)
	if !ok {
		return nil, fmt.Errorf("the driver of SQLite lacks a part: %T", stmt)
	}
	return countingStmt{inner, c.s}, nil
}

type sqliteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type countingStmt struct {
	sqliteStmt
	s *statements
}

func (c countingStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	c.s.n.Add(1)
	return c.sqliteStmt.ExecContext(ctx, args)
}

func (c countingStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	c.s.n.Add(1)
	return c.sqliteStmt.QueryContext(ctx, args)
}

type countingTx struct {
	driver.Tx
	s *statements
}

func (c countingTx) Commit() error {
	c.s.n.Add(1)
	return c.Tx.Commit()
}

func (c countingTx) Rollback() error {
	c.s.n.Add(1)
	return c.Tx.Rollback()
}
