//go:build linux && (amd64 || arm64)

package netpeer

import (
	"encoding/json"
	"io"
	"log/slog"
	"sync"
	"time"
)

// MaxLog bounds the log of a sandbox's connections, in bytes: an agent can make millions.
const MaxLog = 10 << 20

// Log writes events as lines of JSON, up to MaxLog.
type Log struct {
	log *slog.Logger

	mu   sync.Mutex
	to   io.Writer
	left int
}

// NewLog writes to to; log is told of what cannot be written.
func NewLog(to io.Writer, log *slog.Logger) *Log {
	return &Log{log: log, to: to, left: MaxLog}
}

// Record appends an event; see Config.Record. When there is no room any more a last line says so.
func (l *Log) Record(e Event) {
	line, err := json.Marshal(e)
	if err != nil {
		l.log.Error("connection not logged", "error", err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left <= 0 {
		return
	}
	if l.left -= len(line) + 1; l.left <= 0 {
		line, _ = json.Marshal(map[string]any{"time": time.Now().UTC(), "truncated": true}) // cannot fail
	}
	if _, err := l.to.Write(append(line, '\n')); err != nil {
		l.log.Error("connection not logged", "error", err)
	}
}
