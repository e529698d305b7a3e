package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Errors of a database that does not answer for the moment. It is right to try again, for ErrUnknown only where doing
// it twice is the same as doing it once.
var (
	// ErrUnavailable: it cannot be reached, or is too busy; nothing was changed.
	ErrUnavailable = errors.New("the database is not available at the moment")
	// ErrUnknown: the connection was lost while a transaction was committed, which may have been done or not.
	ErrUnknown = errors.New("the connection to the database was lost during a commit")
)

// Unavailable reports whether an error, of a transaction or of a read, says that the database does not answer for
// the moment and that nothing was changed.
func Unavailable(err error) bool {
	return !errors.Is(err, ErrUnknown) && (errors.Is(err, ErrUnavailable) || lost(err) || transient(err))
}

// lost reports whether the connection to PostgreSQL was lost or could not be made.
func lost(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) {
		return lostCode(pg.Code)
	}
	var refused *pgconn.ConnectError
	var network *net.OpError
	switch {
	case errors.As(err, &refused), errors.As(err, &network), pgconn.SafeToRetry(err):
		return true
	}
	for _, known := range []error{driver.ErrBadConn, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// lostCode reports whether PostgreSQL says that it goes, is not there yet, has no room for a connection, or has become a
// standby that does not write.
func lostCode(code string) bool {
	switch code {
	case "57P01", "57P02", "57P03", "53300", "25006":
		return true
	}
	return strings.HasPrefix(code, "08")
}
