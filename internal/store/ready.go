package store

import (
	"errors"
	"io"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// NotReady reports whether Open failed because a PostgreSQL server takes no connections yet: it is starting, or nobody listens at
// its address, which may change. Behind a forwarded port that looks like a connection that ends at once.
func NotReady(err error) bool {
	const startingUp = "57P03"
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) {
		return pg.Code == startingUp
	}
	if connect := (*pgconn.ConnectError)(nil); !errors.As(err, &connect) {
		return false
	}
	for _, cause := range []error{syscall.ECONNREFUSED, syscall.ECONNRESET, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}
