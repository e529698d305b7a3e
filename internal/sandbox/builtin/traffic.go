//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/builtin/netpeer"
)

// maxTraffic bounds the log of a sandbox's connections, in bytes: an agent can make millions.
const maxTraffic = 10 << 20

// traffic is the log of a sandbox's connections. Its shim writes it, where nothing of the sandbox reaches.
type traffic struct {
	log *slog.Logger

	mu   sync.Mutex
	file *os.File
	left int
}

func openTraffic(path string, log *slog.Logger) (*traffic, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of connections: %w", err)
	}
	return &traffic{log: log, file: f, left: maxTraffic}, nil
}

// record appends an event. When there is no room any more a last line says so.
func (t *traffic) record(e netpeer.Event) {
	line, err := json.Marshal(e)
	if err != nil {
		t.log.Error("connection not logged", "error", err)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left <= 0 {
		return
	}
	if t.left -= len(line) + 1; t.left <= 0 {
		line, _ = json.Marshal(map[string]any{"time": time.Now().UTC(), "truncated": true}) // cannot fail
	}
	if _, err := t.file.Write(append(line, '\n')); err != nil {
		t.log.Error("connection not logged", "error", err)
	}
}

var _ sandbox.NetworkLogger = (*box)(nil)

// NetworkLog writes the log of connections; see sandbox.NetworkLogger.
func (s *box) NetworkLog(_ context.Context, to io.Writer) error {
	f, err := os.Open(s.dir.traffic())
	if errors.Is(err, fs.ErrNotExist) {
		return nil // started by an earlier version
	}
	if err != nil {
		return fmt.Errorf("read the log of connections of sandbox %s: %w", s.ID(), err)
	}
	defer f.Close()
	if _, err := io.Copy(to, f); err != nil {
		return fmt.Errorf("read the log of connections of sandbox %s: %w", s.ID(), err)
	}
	return nil
}
