//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"oddish/internal/sandbox"
)

// openTraffic opens the log of a sandbox's connections. Its shim writes it, where nothing of the sandbox reaches.
func openTraffic(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of connections: %w", err)
	}
	return f, nil
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
