package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"oddish/internal/blob"
	"oddish/internal/tarball"
	"oddish/internal/task"
)

const (
	// unpackingAtOnce limits how many archives are unpacked at the same time: they fill the temporary folder.
	unpackingAtOnce = 4
	// abandonedAfter is the age at which a staged archive that nobody completed is removed.
	abandonedAfter = 24 * time.Hour
	// sweepEvery is how often, at most, abandoned archives are looked for.
	sweepEvery = time.Hour

	uploadPrefix = "uploads"
)

var hashPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// uploadDesk keeps uploads of one task apart and their number in bounds.
type uploadDesk struct {
	tempDir string
	slots   chan struct{}

	mu      sync.Mutex
	locks   map[string]*taskLock
	ids     map[string]reservedID // by name of a task that does not exist yet
	lastRun time.Time
}

type reservedID struct {
	id string
	at time.Time
}

type taskLock struct {
	sync.Mutex
	users int
}

func newUploadDesk(tempDir string) *uploadDesk {
	return &uploadDesk{tempDir: tempDir, slots: make(chan struct{}, unpackingAtOnce), locks: map[string]*taskLock{}, ids: map[string]reservedID{}}
}

// reserve gives all who begin to upload a task that does not exist yet the same id for it, without
// a row that an abandoned upload would leave behind.
func (d *uploadDesk) reserve(name string, now time.Time, draw func() string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for old, r := range d.ids {
		if now.Sub(r.at) >= abandonedAfter {
			delete(d.ids, old)
		}
	}
	r, ok := d.ids[name]
	if !ok {
		r.id = draw()
	}
	r.at = now
	d.ids[name] = r
	return r.id
}

// release forgets the id of a task that exists now.
func (d *uploadDesk) release(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.ids, name)
}

// lock makes completions of one task's uploads happen one after the other.
func (d *uploadDesk) lock(name string) (unlock func()) {
	d.mu.Lock()
	l := d.locks[name]
	if l == nil {
		l = &taskLock{}
		d.locks[name] = l
	}
	l.users++
	d.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		d.mu.Lock()
		defer d.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(d.locks, name)
		}
	}
}

// sweepOld removes staged archives that were abandoned; new uploads call it, so that it needs no goroutine.
func (d *uploadDesk) sweepOld(ctx context.Context, s *Server) {
	d.mu.Lock()
	due := s.now().Sub(d.lastRun) >= sweepEvery
	if due {
		d.lastRun = s.now()
	}
	d.mu.Unlock()
	if !due {
		return
	}
	staged, err := s.blobs.List(ctx, uploadPrefix)
	if err != nil {
		s.log.WarnContext(ctx, "abandoned uploads not listed", "error", err)
		return
	}
	for _, b := range staged {
		if s.now().Sub(b.ModTime) < abandonedAfter {
			continue
		}
		if err := s.blobs.Delete(ctx, b.Key); err != nil {
			s.log.WarnContext(ctx, "abandoned upload not removed", "key", b.Key, "error", err)
		}
	}
}

// uploadKey is where an archive waits to be completed. Its hash is part of it, so uploads of
// different contents never mix.
func uploadKey(taskID, hash string) string {
	return fmt.Sprintf("%s/%s/%s.tar.gz", uploadPrefix, taskID, hash)
}

// checkArchive proves that the staged archive is a task with that content hash. Everything that is wrong with
// it is a 400 that says what to mend.
func (s *Server) checkArchive(ctx context.Context, key, name, hash string) error {
	select {
	case s.uploads.slots <- struct{}{}:
		defer func() { <-s.uploads.slots }()
	case <-ctx.Done():
		return s.fail(ctx, "upload", ctx.Err())
	}
	root, err := os.MkdirTemp(s.uploads.tempDir, "oddish-upload-")
	if err != nil {
		return s.fail(ctx, "upload", fmt.Errorf("make folder to check an upload: %w", err))
	}
	defer func() {
		if err := os.RemoveAll(root); err != nil {
			s.log.WarnContext(ctx, "temporary folder not removed", "dir", root, "error", err)
		}
	}()
	dir := filepath.Join(root, name) // a task may take its name from its folder
	if err := s.unpack(ctx, key, dir); err != nil {
		return err
	}
	if err := checkDigest(dir, hash); err != nil {
		return err
	}
	// Whether it will be verified, and so needs tests, only a submission says.
	if _, err := task.LoadUnverified(dir); err != nil {
		reasons := strings.ReplaceAll(err.Error(), root+string(filepath.Separator), "")
		return huma.Error400BadRequest("not a valid task: " + strings.ReplaceAll(reasons, "\n", "; "))
	}
	return nil
}

func (s *Server) unpack(ctx context.Context, key, dir string) error {
	r, _, err := s.blobs.Open(ctx, key)
	if errors.Is(err, blob.ErrNotFound) {
		return huma.Error400BadRequest("archive not found: PUT it to the upload_url before completing the upload")
	}
	if err != nil {
		return s.fail(ctx, "archive", err)
	}
	defer r.Close()
	if err := os.Mkdir(dir, 0o700); err != nil {
		return s.fail(ctx, "archive", err)
	}
	if _, err := tarball.UnpackGzip(r, dir, tarball.UnpackOptions{}); err != nil {
		return huma.Error400BadRequest("invalid archive: " + err.Error())
	}
	return nil
}

// checkDigest accepts the digest of the task format and the hash that the Python client makes.
func checkDigest(dir, want string) error {
	digest, err := task.Digest(dir)
	if err != nil {
		return huma.Error400BadRequest("invalid archive: " + err.Error())
	}
	if digest == want {
		return nil
	}
	legacy, err := task.LegacyHash(dir)
	if err != nil {
		return huma.Error400BadRequest("invalid archive: " + err.Error())
	}
	if legacy == want {
		return nil
	}
	return huma.Error400BadRequest(fmt.Sprintf("the archive's content has digest %s, not the announced %s: it changed while it was packed, or was damaged; upload it again", digest, want))
}
