package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Ears are told what other processes, and this one, notify. The functions are called one at a time and must not block.
type Ears struct {
	// Heard is given what was notified.
	Heard func(text string)
	// Missed is called when notifications may have been missed: once listening has begun, and each time it has begun again.
	Missed func()
}

const (
	// channelName is a channel of our tables' schema: installations may share a PostgreSQL database.
	channelName = "'oddish_' || to_hex(hashtextextended(current_schema()::text, 0))"

	probeEvery  = time.Minute      // how often the connection that listens is proved to work
	probeWithin = 10 * time.Second // after which it is given up
	listenFirst = 100 * time.Millisecond
	listenLast  = 15 * time.Second
	// listenDeaf is the pause after connections on which nothing arrives, as behind a pooler that takes a session apart.
	listenDeaf = 5 * time.Minute
)

// The first letter of what is sent tells a message from a proof that messages arrive.
const (
	messageMark = "m"
	probeMark   = "p"
)

// errDeaf: what was notified does not come back.
var errDeaf = errors.New("notifications do not arrive; a connection pooler must be in session mode")

// Shared reports whether other processes may use the database at the same time, which Notify tells something and
// Listen hears.
func (db *DB) Shared() bool { return db.engine == postgres }

// Notify tells all who Listen a text of less than 7,900 bytes. It may get lost. On SQLite nobody is told.
func (db *DB) Notify(ctx context.Context, text string) error {
	if !db.Shared() {
		return nil
	}
	return db.notify(ctx, messageMark+text)
}

func (db *DB) notify(ctx context.Context, payload string) error {
	if _, err := db.write.ExecContext(ctx, "SELECT pg_notify("+channelName+", $1)", payload); err != nil {
		return fmt.Errorf("notify other servers: %w", err)
	}
	return nil
}

// Listen calls e until ctx ends, over a connection of its own that it makes again when it is lost. On SQLite it only waits.
func (db *DB) Listen(ctx context.Context, e Ears) {
	if !db.Shared() {
		<-ctx.Done()
		return
	}
	wait, away := listenFirst, false
	for {
		worked, err := db.listenOnce(ctx, e, func() {
			if away {
				db.log.Info("notifications of other servers arrive again")
			}
			wait, away = listenFirst, false
		})
		if ctx.Err() != nil {
			return
		}
		if !away && !worked {
			db.log.Warn("notifications of other servers do not arrive; looking twice a minute instead", "error", err)
			away = true
		}
		pause := wait
		if errors.Is(err, errDeaf) && !worked {
			pause = listenDeaf
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		wait = min(2*wait, listenLast)
	}
}

// listenOnce listens on one connection until that fails. working is called when it was proved that notifications
// arrive; worked says whether it was.
func (db *DB) listenOnce(ctx context.Context, e Ears, working func()) (worked bool, err error) {
	conn, err := db.connectListener(ctx)
	if err != nil {
		return false, err
	}
	defer func() {
		// Also when ctx has ended, and not for ever when the other side is gone.
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(end)
	}()
	e.Missed()
	l := listener{db: db, conn: conn, ears: e}
	if err := l.probe(ctx); err != nil {
		return false, err
	}
	working()
	for {
		if err := l.hear(ctx, probeEvery); err != nil {
			return true, err
		}
		if err := l.probe(ctx); err != nil {
			return true, err
		}
	}
}

func (db *DB) connectListener(ctx context.Context) (*pgx.Conn, error) {
	config := db.pgConfig.Copy()
	config.RuntimeParams["application_name"] += " listener"
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	var channel string
	if err = conn.QueryRow(ctx, "SELECT "+channelName).Scan(&channel); err == nil {
		_, err = conn.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen: %w", err), conn.Close(ctx))
	}
	return conn, nil
}

// listener is a connection that listens.
type listener struct {
	db   *DB
	conn *pgx.Conn
	ears Ears
	sent string // the probe that has not come back
}

// probe sends a message through the pool and waits until it arrives.
func (l *listener) probe(ctx context.Context) error {
	l.sent = probeMark + rand.Text()
	if err := l.db.notify(ctx, l.sent); err != nil {
		return err
	}
	if err := l.hear(ctx, probeWithin); err != nil {
		return err
	}
	if l.sent != "" {
		return errDeaf
	}
	return nil
}

// hear passes on what arrives, for as long as that, or until a probe comes back.
func (l *listener) hear(ctx context.Context, within time.Duration) error {
	probing := l.sent != ""
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		n, err := l.conn.WaitForNotification(ctx)
		if err != nil {
			// The wait may end at any time; only the connection must not have suffered.
			if errors.Is(ctx.Err(), context.DeadlineExceeded) && !l.conn.IsClosed() {
				return nil
			}
			return fmt.Errorf("wait for notifications: %w", err)
		}
		if text, ok := strings.CutPrefix(n.Payload, messageMark); ok {
			l.ears.Heard(text)
		}
		if probing && n.Payload == l.sent {
			l.sent = ""
			return nil
		}
	}
}

// keepAlive finds out within a minute that the machine at the other end is gone.
func keepAlive() *net.Dialer {
	return &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 10 * time.Second, Count: 3}}
}
