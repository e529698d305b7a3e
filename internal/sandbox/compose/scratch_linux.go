package compose

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Scratch holds the files of one project that the plugin reads while it is made. What tasks take from the worker's environment is in
// them, keys of judges among it, so they are in memory alone and end with this process, however it ends. The zero value is empty; one
// goroutine uses it at a time.
type Scratch struct{ files []*os.File }

// Write keeps data and returns the path by which programs of this user read it, any number of times, until Close.
func (s *Scratch) Write(name string, data []byte) (path string, err error) {
	fd, err := unix.MemfdCreate("oddish-compose-"+name, unix.MFD_CLOEXEC)
	if err != nil {
		return "", fmt.Errorf("make the file %s in memory: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	s.files = append(s.files, f)
	if _, err := f.Write(data); err != nil {
		return "", fmt.Errorf("keep the file %s in memory: %w", name, err)
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd), nil
}

// Close removes all files.
func (s *Scratch) Close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	s.files = nil
	return errors.Join(errs...)
}
