package store

import (
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// listen gives an address at which connections are handled so; a nil handler closes it for good.
func listen(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	if handle == nil {
		_ = l.Close()
		return l.Addr().String()
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			handle(c)
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

func TestAPostgreSQLThatTakesNoConnectionsIsNotReady(t *testing.T) {
	t.Parallel()
	hangUp := func(c net.Conn) { _, _ = c.Read(make([]byte, 8)) }
	for name, handle := range map[string]func(net.Conn){"nobody listens": nil, "a port that leads nowhere": hangUp} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Open(t.Context(), "postgresql://u:p@"+listen(t, handle)+"/d?sslmode=disable", nil)
			if err == nil || !NotReady(err) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestOtherTroublesWithADatabaseAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		fmt.Errorf("connect: %w", &pgconn.PgError{Code: "57P03"}): true,
		&pgconn.PgError{Code: "28P01"}:                            false, // wrong password
		errors.New("disk is full"):                                false,
		nil:                                                       false,
	} {
		if got := NotReady(err); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
	_, err := Open(t.Context(), "postgresql://u:p@no-such-host.invalid/d", nil)
	if err == nil || NotReady(err) {
		t.Errorf("a name that nobody has: %v", err)
	}
}
