package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"oddish/internal/backup"
)

// dataNames are the patterns of the files and folders that Oddish makes in its data directory.
var dataNames = []string{
	"oddish.db", "oddish.db-*", "oddish.db.*", "secret.key", stateFile, stateFile + ".tmp", lockFile,
	"server.log", "server.log.old", "blobs", "work", agentsFolder, imagesFolder, dockerImagesFolder, "sandboxes", "tmp", backup.NewFolder, backup.OldFolder, backup.DoneFolder,
}

const (
	stateFile = "server.json"
	lockFile  = "server.lock"
	// imagesFolder keeps the images of builtin sandboxes.
	imagesFolder = "images"
	// dockerImagesFolder remembers which images of docker engines are ours.
	dockerImagesFolder = "docker-images"
	// agentsFolder keeps the programs of agents.
	agentsFolder = "agents"
)

// ownerOf names the installation that keeps its data in dir, on every sandbox that it starts.
func ownerOf(dataDir string) string {
	sum := sha256.Sum256([]byte(dataDir))
	return "oddish-" + hex.EncodeToString(sum[:6])
}

// prepareDataDir makes the data directory and makes sure that it can be written.
func prepareDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return dataDirError(dir, err)
	}
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return dataDirError(dir, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, 4096))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return dataDirError(dir, err)
	}
	return nil
}

// dataDirError says in one line what is wrong with the data directory.
func dataDirError(dir string, err error) error {
	if trouble := dataDirTrouble(dir, err); trouble != nil {
		return trouble
	}
	return fmt.Errorf("data directory %s: %w", dir, err)
}

// dataDirTrouble is the advice for an error that the data directory is the reason of; nil for others.
func dataDirTrouble(dir string, err error) error {
	const hint = "set ODDISH_DATA_DIR to a folder that you may write to"
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), strings.Contains(err.Error(), "database or disk is full"):
		return failf("make room, or set ODDISH_DATA_DIR to a folder on another disk", "the disk of the data directory %s is full", dir)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return failf(hint, "data directory %s cannot be written: %v", dir, plainPathError(err))
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		return failf(hint, "data directory %s is not a folder", dir)
	}
	return nil
}

// plainPathError drops the path and operation, which the message around it names.
func plainPathError(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// dirLock is held by the one server of a data directory, for as long as its process lives.
type dirLock struct{ f *os.File }

// errLocked: a server runs on the data directory.
var errLocked = errors.New("a server runs on this data directory")

// lockDataDir takes the lock, or returns errLocked.
func lockDataDir(dir string) (*dirLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, dataDirError(dir, err)
	}
	// Whoever looks whether the lock is held takes it for an instant, so one refusal proves nothing.
	for range 10 {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	return &dirLock{f}, nil
}

func (l *dirLock) release() { _ = l.f.Close() }

// isLocked reports whether a server runs on the data directory, without making anything in it.
func isLocked(dir string) bool {
	f, err := os.Open(filepath.Join(dir, lockFile))
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// looksOurs reports whether a server has ever run on the directory.
func looksOurs(dir string) bool {
	for _, name := range []string{lockFile, "oddish.db"} {
		if info, err := os.Lstat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() {
			return true
		}
	}
	return false
}

func isDataName(name string) bool {
	return slices.ContainsFunc(dataNames, func(pattern string) bool {
		ok, _ := path.Match(pattern, name)
		return ok
	})
}

// deleteData removes what Oddish made in the directory, and the directory itself if nothing else is in it. It returns
// the names of what it left.
func deleteData(dir string) (left []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, dataDirError(dir, err)
	}
	for _, e := range entries {
		if !isDataName(e.Name()) || e.Name() == lockFile {
			continue // the lock is last, so that what is left after a failure is still known as ours
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return nil, dataDirError(dir, err)
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, lockFile)); err != nil {
		return nil, dataDirError(dir, err)
	}
	rest, err := os.ReadDir(dir)
	if err != nil {
		return nil, dataDirError(dir, err)
	}
	for _, e := range rest {
		left = append(left, e.Name())
	}
	if len(left) == 0 {
		_ = os.Remove(dir) // a mount point stays
	}
	return left, nil
}
