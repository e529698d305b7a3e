package worker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxHomes bounds how many workers of one installation run on a machine at once.
const maxHomes = 256

// home is the folder of one worker: w0, w1 and so on below the scratch folder that workers of
// one installation share. Its lock is held as long as the process lives, and not a moment
// longer even after a SIGKILL. So a sandbox that is labelled with a folder whose lock is free
// has no owner any more.
type home struct {
	base string
	name string
	dir  string // base/name
	lock *os.File
}

// openHome takes the first free folder. What a killed worker left in it stays; see resume.go.
func openHome(base string) (*home, error) {
	for n := range maxHomes {
		h := &home{base: base, name: "w" + strconv.Itoa(n)}
		h.dir = filepath.Join(base, h.name)
		if err := os.MkdirAll(h.dir, 0o700); err != nil {
			return nil, fmt.Errorf("folder of the worker: %w", err)
		}
		lock, err := tryLock(h.dir)
		if err != nil {
			return nil, fmt.Errorf("lock the worker's folder: %w", err)
		}
		if lock == nil {
			continue
		}
		h.lock = lock
		if err := os.MkdirAll(jobsDir(h.dir), 0o700); err != nil {
			h.close()
			return nil, fmt.Errorf("folder of the worker: %w", err)
		}
		return h, nil
	}
	return nil, fmt.Errorf("%d workers use %s already", maxHomes, base)
}

func (h *home) close() { _ = h.lock.Close() }

// tryLock locks the folder of a worker until the returned file is closed. The file is nil if
// a live process holds the lock.
func tryLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, fmt.Errorf("%s: %w", f.Name(), err)
}

// abandoned locks the folder of another worker if that worker is gone, and says whether it is. A
// worker without a folder is gone. Call done when it no longer matters.
func (h *home) abandoned(name string) (gone bool, done func(), err error) {
	if !isFileName(name) {
		return false, nil, fmt.Errorf("%q is not the name of a worker's folder", name)
	}
	dir := filepath.Join(h.base, name)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return true, func() {}, nil
	}
	lock, err := tryLock(dir)
	if err != nil || lock == nil {
		return false, nil, err
	}
	return true, func() { _ = lock.Close() }, nil
}

// isFileName reports whether s can be the name of one file or folder, inside its folder.
func isFileName(s string) bool {
	return filepath.IsLocal(s) && s != "." && !strings.ContainsAny(s, `/\`) && len(s) <= 255
}
