package store

import (
	"container/list"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
)

// cachedStatements is how many statements a connection to SQLite keeps compiled: more than the program has, but for
// those whose lists of arguments differ in length.
const cachedStatements = 300

// cachingConnector makes connections to SQLite that keep the statements which they have compiled: compiling takes longer than
// most of them take to run. Connections to PostgreSQL do that already.
type cachingConnector struct {
	driver.Connector
	// whole: a statement goes on when its context ends, for the writing connection. SQLite would undo the whole transaction of
	// a statement that is interrupted, see group; and watching a context costs a goroutine each time.
	whole bool
}

// Connect implements driver.Connector.
func (c cachingConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	inner, ok := conn.(sqliteConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the driver of SQLite lacks a part: %T", conn), conn.Close())
	}
	return &cachingConn{sqliteConn: inner, whole: c.whole, idle: map[string]*list.Element{}, order: list.New()}, nil
}

// cachingConn is used by one goroutine at a time, as all connections are.
type cachingConn struct {
	sqliteConn
	whole bool
	idle  map[string]*list.Element // of order, by text; those in use are in neither
	order *list.List               // of idleStmt, the one used last at the front
}

type idleStmt struct {
	query string
	stmt  sqliteStmt
}

// take gives the compiled statement to the caller alone.
func (c *cachingConn) take(ctx context.Context, query string) (sqliteStmt, error) {
	if e := c.idle[query]; e != nil {
		c.order.Remove(e)
		delete(c.idle, query)
		return e.Value.(idleStmt).stmt, nil
	}
	stmt, err := c.sqliteConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	inner, ok := stmt.(sqliteStmt)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the driver of SQLite lacks a part: %T", stmt), stmt.Close())
	}
	return inner, nil
}

// keep takes a statement back that has run.
func (c *cachingConn) keep(query string, stmt sqliteStmt) error {
	if c.idle[query] != nil { // it was in use twice at once
		return stmt.Close()
	}
	c.idle[query] = c.order.PushFront(idleStmt{query, stmt})
	if c.order.Len() <= cachedStatements {
		return nil
	}
	oldest := c.order.Remove(c.order.Back()).(idleStmt)
	delete(c.idle, oldest.query)
	return oldest.stmt.Close()
}

// during is the context that a statement is run with.
func (c *cachingConn) during(ctx context.Context) (context.Context, error) {
	if err := ctx.Err(); err != nil || !c.whole {
		return ctx, err
	}
	return context.WithoutCancel(ctx), nil
}

// ExecContext implements driver.ExecerContext.
func (c *cachingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	ctx, err := c.during(ctx)
	if err != nil {
		return nil, err
	}
	stmt, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	result, err := stmt.ExecContext(ctx, args)
	if err != nil {
		return nil, errors.Join(err, stmt.Close())
	}
	return result, c.keep(query, stmt)
}

// QueryContext implements driver.QueryerContext.
func (c *cachingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	ctx, err := c.during(ctx)
	if err != nil {
		return nil, err
	}
	stmt, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := stmt.QueryContext(ctx, args)
	if err != nil {
		return nil, errors.Join(err, stmt.Close())
	}
	inner, ok := rows.(sqliteRows)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the driver of SQLite lacks a part: %T", rows), rows.Close(), stmt.Close())
	}
	return &cachingRows{sqliteRows: inner, conn: c, query: query, stmt: stmt}, nil
}

// Close implements driver.Conn.
func (c *cachingConn) Close() error {
	var errs []error
	for e := c.order.Front(); e != nil; e = e.Next() {
		errs = append(errs, e.Value.(idleStmt).stmt.Close())
	}
	c.order.Init()
	clear(c.idle)
	return errors.Join(append(errs, c.sqliteConn.Close())...)
}

// sqliteRows is what the driver's rows can do.
type sqliteRows interface {
	driver.Rows
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeLength
	driver.RowsColumnTypeNullable
	driver.RowsColumnTypePrecisionScale
	driver.RowsColumnTypeScanType
}

// cachingRows give their statement back when they are closed.
type cachingRows struct {
	sqliteRows
	conn  *cachingConn
	query string
	stmt  sqliteStmt
}

// Close implements driver.Rows.
func (r *cachingRows) Close() error {
	if r.stmt == nil {
		return nil
	}
	stmt := r.stmt
	r.stmt = nil
	if err := r.sqliteRows.Close(); err != nil {
		return errors.Join(err, stmt.Close())
	}
	return r.conn.keep(r.query, stmt)
}
