package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	sqlitedriver "modernc.org/sqlite"
)

// DB is an open database. All methods may be called at once from many goroutines.
type DB struct {
	engine     engine
	path       string          // of the SQLite file
	pgConfig   *pgx.ConnConfig // nil: SQLite
	read       *sql.DB
	write      *sql.DB      // SQLite: one connection; PostgreSQL: the same as read
	groups     *groupCommit // SQLite
	statements statements
	log        *slog.Logger
}

// DefaultPoolSize is how many connections to PostgreSQL are open at most, besides the one that Listen has. A PostgreSQL takes
// 100 where nothing else is set, so five servers fit.
const DefaultPoolSize = 16

const (
	sqliteReaders = 4
	// busyTimeout is how long a statement waits for another process that is writing.
	busyTimeout = 10 * time.Second
)

// Open opens the database at url: sqlite:///path (created if absent), postgresql://, postgres:// or the Python forms such as
// postgresql+asyncpg://. It does not create or migrate tables, see Migrate, and refuses a schema that a newer program has made.
// A nil log discards.
func Open(ctx context.Context, url string, log *slog.Logger) (*DB, error) {
	return OpenWith(ctx, url, Options{Log: log})
}

// Options of OpenWith. Zero values mean the defaults.
type Options struct {
	Log      *slog.Logger // nil discards
	PoolSize int          // of PostgreSQL: connections open at most; 0: DefaultPoolSize
}

// OpenWith is Open with options.
func OpenWith(ctx context.Context, url string, o Options) (*DB, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.PoolSize <= 0 {
		o.PoolSize = DefaultPoolSize
	}
	kind, target, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	db := &DB{engine: kind, log: o.Log}
	if kind == sqlite {
		err = db.openSQLite(ctx, target)
	} else {
		err = db.openPostgres(ctx, target, o.PoolSize)
	}
	if err == nil {
		err = db.refuseNewer(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (db *DB) openSQLite(ctx context.Context, path string) error {
	db.path, db.groups = path, newGroupCommit()
	if err := createPrivate(path); err != nil {
		return fmt.Errorf("open database %s: %w: check ODDISH_DATA_DIR and DATABASE_URL", path, err)
	}
	var err error
	if db.write, err = db.openSQLitePool(sqliteDSN(path, "_txlock=immediate"), true); err != nil {
		return fmt.Errorf("open database %s: %w", path, err)
	}
	db.write.SetMaxOpenConns(1)
	// The first connection turns the write-ahead log on, before any reader comes.
	if err := db.firstPing(ctx); err != nil {
		return fmt.Errorf("open database %s: %w", path, err)
	}
	if db.read, err = db.openSQLitePool(sqliteDSN(path, "_pragma=query_only(1)"), false); err != nil {
		return fmt.Errorf("open database %s: %w", path, err)
	}
	db.read.SetMaxOpenConns(sqliteReaders)
	db.read.SetMaxIdleConns(sqliteReaders)
	return nil
}

// firstPing makes the first connection. While another process turns the write-ahead log on, SQLite says at once that the file is busy, whatever timeout is set.
func (db *DB) firstPing(ctx context.Context) error {
	const pause = 20 * time.Millisecond
	for end := time.Now().Add(busyTimeout); ; {
		err := db.write.PingContext(ctx)
		if err == nil || !transient(err) || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// openSQLitePool opens connections whose statements are not interrupted if whole is set.
func (db *DB) openSQLitePool(dsn string, whole bool) (*sql.DB, error) {
	connector, err := sqlitedriver.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(countingConnector{cachingConnector{connector, whole}, &db.statements}), nil
}

// createPrivate makes the file and its folder if absent, readable by the owner alone. SQLite gives its
// other files the same mode.
func createPrivate(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func (db *DB) openPostgres(ctx context.Context, dsn string, size int) error {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return fmt.Errorf("open PostgreSQL database: %w", err)
	}
	config.DialFunc = keepAlive().DialContext
	config.Tracer = &db.statements
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "oddish"
	}
	pool := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(endIdleTransactions))
	db.pgConfig, db.read, db.write = config, pool, pool
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	if err := pool.PingContext(ctx); err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w: check DATABASE_URL", err)
	}
	return nil
}

// endIdleTransactions makes the database roll back what a server that was stopped in the middle of a transaction, or whose machine
// is gone, has locked: other servers wait for it. Not a parameter of the connection, which poolers refuse.
func endIdleTransactions(ctx context.Context, c *pgx.Conn) error {
	if _, err := c.Exec(ctx, "SET idle_in_transaction_session_timeout = '20s'"); err != nil {
		return fmt.Errorf("set up connection: %w", err)
	}
	return nil
}

// Ping reports whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	if err := db.read.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
		return fmt.Errorf("ping database: %w", err)
	}
	return nil
}

// Close closes all connections, after the statements under way.
func (db *DB) Close() error {
	var errs []error
	for _, pool := range db.pools() {
		errs = append(errs, pool.Close())
	}
	return errors.Join(errs...)
}

// pools are the pools that are open.
func (db *DB) pools() []*sql.DB {
	var open []*sql.DB
	for _, pool := range []*sql.DB{db.read, db.write} {
		if pool != nil && !slices.Contains(open, pool) {
			open = append(open, pool)
		}
	}
	return open
}

// Read is the pool for reads outside of a transaction. On SQLite it cannot write.
func (db *DB) Read() *sql.DB { return db.read }

// txTries bounds how often a transaction is tried when others get in its way.
const txTries = 10

// Tx runs fn in a write transaction and commits it if fn returns nil. When the database asks for it, because of
// a deadlock or a conflict with another transaction, or when the connection is lost before the commit, fn is called
// again for a few seconds: it must have no other effects. Then the error is ErrUnavailable. ErrUnknown when the
// connection is lost during the commit.
func (db *DB) Tx(ctx context.Context, fn func(tx *sql.Tx) error) error {
	for try := 1; ; try++ {
		err := db.tryTx(ctx, fn)
		if err == nil || try == txTries || !Unavailable(err) {
			return db.explain(err)
		}
		db.log.Debug("transaction is tried again", "try", try, "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(txPause(try, lost(err))):
		}
	}
}

// txPause is how long to wait after that many tries: a conflict is over soon, a database that restarts takes seconds.
func txPause(try int, lost bool) time.Duration {
	if lost {
		return min(10*time.Millisecond<<try, 500*time.Millisecond)
	}
	return time.Duration(try) * 5 * time.Millisecond
}

func (db *DB) tryTx(ctx context.Context, fn func(tx *sql.Tx) error) error {
	if db.groups != nil {
		return db.groupTx(ctx, fn)
	}
	tx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer tx.Rollback() // no effect after a commit
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		if lost(err) && !pgconn.SafeToRetry(err) {
			err = fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		return fmt.Errorf("commit transaction: %w", err)
	}
	return nil
}

// transient reports whether the database refused a transaction only because of other ones.
func transient(err error) bool {
	if errors.Is(err, errUndone) {
		return true
	}
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) {
		return pg.Code == "40001" || pg.Code == "40P01" // serialization failure, deadlock
	}
	const busy = 5
	if lite := (*sqlitedriver.Error)(nil); errors.As(err, &lite) {
		return lite.Code()&0xff == busy
	}
	return false
}

// explain adds what to do to an error that the machine is to blame for.
func (db *DB) explain(err error) error {
	if Unavailable(err) && !errors.Is(err, ErrUnavailable) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	lite := (*sqlitedriver.Error)(nil)
	if !errors.As(err, &lite) {
		return err
	}
	const readOnly, inputOutput, full = 8, 10, 13
	switch lite.Code() & 0xff {
	case full:
		return fmt.Errorf("%w: free some space on the disk of %s", err, db.path)
	case readOnly, inputOutput:
		return fmt.Errorf("%w: check that %s and its folder can be written", err, db.path)
	}
	return err
}

// ForUpdate is what a SELECT that locks its rows ends with: SQLite's writers are alone anyway.
func (db *DB) ForUpdate() string {
	if db.engine == postgres {
		return " FOR UPDATE"
	}
	return ""
}

// ByteOrder follows a text column in ORDER BY where the order must be that of Go's strings, whatever the
// database's language.
func (db *DB) ByteOrder() string {
	if db.engine == postgres {
		return ` COLLATE "C"`
	}
	return ""
}

// LockName makes transactions that lock the same name go one after the other, until their end.
func (db *DB) LockName(ctx context.Context, tx *sql.Tx, name string) error {
	if db.engine != postgres {
		return nil
	}
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", name); err != nil {
		return fmt.Errorf("lock name %q: %w", name, err)
	}
	return nil
}
