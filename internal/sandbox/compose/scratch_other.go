//go:build !linux

package compose

import (
	"fmt"
	"os"
	"path/filepath"
)

// Scratch holds the files of one project that the plugin reads while it is made. What tasks take from the worker's environment is in
// them; this system has no files in memory, so they are in a folder that only this user may read. The zero value is empty; one goroutine
// uses it at a time.
type Scratch struct{ dir string }

// Write keeps data and returns the path by which programs of this user read it, any number of times, until Close.
func (s *Scratch) Write(name string, data []byte) (path string, err error) {
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "oddish-compose-*"); err != nil {
			return "", fmt.Errorf("make a folder for the file %s: %w", name, err)
		}
	}
	path = filepath.Join(s.dir, name)
	return path, os.WriteFile(path, data, 0o600)
}

// Close removes all files.
func (s *Scratch) Close() error { return os.RemoveAll(s.dir) }
