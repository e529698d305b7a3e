package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// serverState is server.json: which server runs on a data directory. The server writes it once it listens and removes
// it when it ends. It is true only while the lock of the directory is held.
type serverState struct {
	PID       int       `json:"pid"`
	URL       string    `json:"url"`
	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"`
}

func writeState(dir string, s serverState) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, stateFile+".tmp")
	if err := os.WriteFile(tmp, append(data, '\n'), 0o600); err != nil {
		return dataDirError(dir, err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, stateFile)); err != nil {
		return dataDirError(dir, err)
	}
	return nil
}

func removeState(dir string) { _ = os.Remove(filepath.Join(dir, stateFile)) }

// liveServer returns the server that runs on the data directory now. While it starts it has no state yet.
func liveServer(dir string) (serverState, bool) {
	if !isLocked(dir) {
		return serverState{}, false
	}
	var s serverState
	data, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil || json.Unmarshal(data, &s) != nil || s.PID <= 0 || !alive(s.PID) {
		return serverState{}, false
	}
	return s, true
}

// alive reports whether a process with that id exists.
func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// Patience with a server that is told to stop: it lets its trials go on for a while (the first signal), then hands them back
// (the second), then is killed.
const (
	stopPatience  = 3 * time.Second
	stopPatience2 = 25 * time.Second
	stopPatience3 = 5 * time.Second
)

// stopServer ends the server of the data directory, if one runs, and reports whether it did. What counts as ended is that
// its lock is free, so a process id that was given to another program is never waited for.
func stopServer(ctx context.Context, dir string) (bool, error) {
	s, ok := liveServer(dir)
	if !ok {
		if !isLocked(dir) {
			return false, nil
		}
		return false, failf("wait a moment and try again", "a server on %s is starting or stopping", dir)
	}
	for _, step := range []struct {
		signal   syscall.Signal
		patience time.Duration
	}{
		{syscall.SIGTERM, stopPatience},
		{syscall.SIGTERM, stopPatience2},
		{syscall.SIGKILL, stopPatience3},
	} {
		if err := syscall.Kill(s.PID, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return false, fmt.Errorf("stop server %d: %w", s.PID, err)
		}
		ended, err := waitUnlocked(ctx, dir, step.patience)
		if err != nil {
			return false, err
		}
		if ended {
			removeState(dir)
			return true, nil
		}
	}
	return false, fmt.Errorf("server %d did not end", s.PID)
}

func waitUnlocked(ctx context.Context, dir string, most time.Duration) (bool, error) {
	deadline := time.Now().Add(most)
	for isLocked(dir) {
		if time.Now().After(deadline) {
			return false, nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return false, err
		}
	}
	return true, nil
}

// pause waits, or returns ctx's error when it ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
