package store_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"oddish/internal/store"
	"oddish/internal/store/storetest"
)

func TestUnavailableTellsOutagesFromOtherErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("some error"), false},
		{sql.ErrNoRows, false},
		{context.Canceled, false},
		{fmt.Errorf("read: %w", context.DeadlineExceeded), false},
		{&pgconn.PgError{Code: "23505"}, false}, // unique violation
		{fmt.Errorf("read: %w", &pgconn.PgError{Code: "57P01"}), true},
		{&pgconn.PgError{Code: "08006"}, true},
		{&pgconn.PgError{Code: "53300"}, true},
		{&pgconn.PgError{Code: "40P01"}, true}, // a deadlock that did not end in time
		{driver.ErrBadConn, true},
		{fmt.Errorf("read: %w", io.ErrUnexpectedEOF), true},
		{store.ErrUnavailable, true},
		{fmt.Errorf("%w: %w", store.ErrUnknown, io.ErrUnexpectedEOF), false},
	} {
		if got := store.Unavailable(test.err); got != test.want {
			t.Errorf("%v: %v", test.err, got)
		}
	}
}

func onlyPostgres(t *testing.T) {
	t.Helper()
	t.Parallel()
	if !storetest.Postgres() {
		t.Skip("only PostgreSQL is reached over a connection")
	}
}

// killOwn ends the connection that the transaction has.
func killOwn(t *testing.T, tx *sql.Tx) {
	t.Helper()
	// The backend kills itself, as pg_terminate_backend from elsewhere would.
	_, _ = tx.ExecContext(t.Context(), "SELECT pg_terminate_backend(pg_backend_pid())")
}

func TestATransactionThatLosesItsConnectionIsTriedAgain(t *testing.T) {
	onlyPostgres(t)
	db := storetest.Open(t)
	tries := 0
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		tries++
		if _, err := tx.ExecContext(t.Context(), "INSERT INTO queue_keys (queue_key) VALUES ('k')"); err != nil {
			return err
		}
		if tries == 1 {
			killOwn(t, tx)
		}
		_, err := tx.ExecContext(t.Context(), "UPDATE queue_keys SET paused = 1")
		return err
	})
	if err != nil || tries != 2 {
		t.Errorf("%d tries, %v", tries, err)
	}
	var n int
	if err := db.Read().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM queue_keys WHERE paused = 1").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestATransactionThatIsLostBeforeItsCommitWasNotCommittedOrUnknown(t *testing.T) {
	onlyPostgres(t)
	db := storetest.Open(t)
	tries := 0
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		tries++
		_, err := tx.ExecContext(t.Context(), "INSERT INTO queue_keys (queue_key) VALUES ('k')")
		if tries == 1 {
			killOwn(t, tx) // and fn does not look
		}
		return err
	})
	var n int
	if scan := db.Read().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM queue_keys").Scan(&n); scan != nil {
		t.Fatal(scan)
	}
	// Whatever is found out, it is never a success that is not there, or an insert that happened twice.
	switch {
	case err == nil && n != 1, err != nil && !errors.Is(err, store.ErrUnknown):
		t.Errorf("%d rows after %v", n, err)
	}
}

func TestTxSaysThatTheDatabaseIsAway(t *testing.T) {
	onlyPostgres(t)
	db := storetest.Open(t)
	tries := 0
	err := db.Tx(t.Context(), func(*sql.Tx) error {
		tries++
		return fmt.Errorf("read: %w", &pgconn.PgError{Code: "57P03", Message: "the database system is starting up"})
	})
	if !errors.Is(err, store.ErrUnavailable) || !store.Unavailable(err) || tries < 5 {
		t.Errorf("after %d tries: %v", tries, err)
	}
}

func TestStatementsAreCounted(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	before := db.Stats().Statements
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), "INSERT INTO queue_keys (queue_key) VALUES ($1)", "k")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := db.Read().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM queue_keys WHERE queue_key = $1", "k").Scan(&n); err != nil {
		t.Fatal(err)
	}
	s := db.Stats()
	if got := s.Statements - before; got != 4 { // begin, insert, commit, select
		t.Errorf("%d statements", got)
	}
	if s.Connections < 1 || s.InUse != 0 {
		t.Errorf("connections: %+v", s)
	}
}

func TestThePoolHasTheSizeThatIsSet(t *testing.T) {
	onlyPostgres(t)
	db, err := store.OpenWith(t.Context(), storetest.URL(t), store.Options{PoolSize: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if n := db.Read().Stats().MaxOpenConnections; n != 3 {
		t.Errorf("it is %d", n)
	}
}

func TestNotificationsReachListenersOfTheSameSchemaOnly(t *testing.T) {
	onlyPostgres(t)
	one, other := storetest.Open(t), storetest.Open(t)
	heard, ready := make(chan string, 10), make(chan struct{}, 10)
	go one.Listen(t.Context(), store.Ears{
		Heard:  func(text string) { heard <- text },
		Missed: func() { ready <- struct{}{} },
	})
	<-ready
	for _, n := range []struct {
		db   *store.DB
		text string
	}{{other, "from another installation"}, {one, "mine"}} {
		if err := n.db.Notify(t.Context(), n.text); err != nil {
			t.Fatal(err)
		}
	}
	if got := <-heard; got != "mine" {
		t.Errorf("heard %q", got)
	}
}

// PostgreSQL refuses the second connection of a role that may have one, so that listening is impossible and all else works.
func TestAServerWorksWhereItCannotListen(t *testing.T) {
	onlyPostgres(t)
	base := storetest.URL(t)
	admin, err := store.Open(t.Context(), base, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	role := "only_one_" + store.NewID()
	for _, statement := range []string{"CREATE ROLE " + role + " LOGIN CONNECTION LIMIT 1", "GRANT USAGE, CREATE ON SCHEMA " + schemaOf(t, base) + " TO " + role} {
		if _, err := admin.Read().ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		_, _ = admin.Read().ExecContext(t.Context(), "DROP OWNED BY "+role)
		_, _ = admin.Read().ExecContext(t.Context(), "DROP ROLE "+role)
	}()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(role)
	var log safeLog
	db, err := store.OpenWith(t.Context(), u.String(), store.Options{PoolSize: 1, Log: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	var missed atomic.Int32
	go func() {
		db.Listen(ctx, store.Ears{Heard: func(string) {}, Missed: func() { missed.Add(1) }})
		close(done)
	}()
	deadline := time.After(20 * time.Second)
	for !strings.Contains(log.text(), "do not arrive") {
		select {
		case <-deadline:
			t.Fatal("it was not said")
		case <-time.After(5 * time.Millisecond):
		}
	}
	if err := db.Notify(ctx, "x"); err != nil {
		t.Errorf("the rest does not work: %v", err)
	}
	time.Sleep(500 * time.Millisecond) // a few tries
	cancel()
	<-done
	if n := strings.Count(log.text(), "do not arrive"); n != 1 || missed.Load() != 0 {
		t.Errorf("it was said %d times: %s", n, log.text())
	}
}

func schemaOf(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("search_path")
}
