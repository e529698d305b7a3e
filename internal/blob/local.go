package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Local stores blobs as files below a folder, one file a key. It never leaves the folder, not even through
// a symbolic link in it. Several processes may use one folder.
type Local struct {
	dir  string
	root *os.Root
}

var _ Store = (*Local)(nil)

// abandonedAfter is the age at which an unfinished upload is taken for that of a dead process.
const abandonedAfter = 24 * time.Hour

// NewLocal opens the folder, which it creates if absent (mode 0700), and removes what uploads
// of dead processes left there.
func NewLocal(dir string) (*Local, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open blob folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open blob folder: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open blob folder: %w", err)
	}
	l := &Local{dir: dir, root: root}
	if err := root.MkdirAll(tempFolder, 0o700); err != nil {
		root.Close()
		return nil, fmt.Errorf("open blob folder %s: %w", dir, err)
	}
	l.removeAbandoned(time.Now().Add(-abandonedAfter))
	return l, nil
}

func (l *Local) removeAbandoned(before time.Time) {
	entries, err := fs.ReadDir(l.root.FS(), tempFolder)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.ModTime().Before(before) {
			_ = l.root.Remove(path.Join(tempFolder, entry.Name())) // the next start tries again
		}
	}
}

// Put implements Store. The file and its directory entry are on disk when it returns.
func (l *Local) Put(ctx context.Context, key string, r io.Reader) (int64, error) {
	if err := ValidKey(key); err != nil {
		return 0, err
	}
	temp := path.Join(tempFolder, rand.Text())
	n, err := l.writeTemp(ctx, temp, r)
	if err == nil {
		err = l.publish(temp, key)
	}
	if err != nil {
		_ = l.root.Remove(temp)
		return 0, l.fail("store", key, err)
	}
	return n, nil
}

func (l *Local) writeTemp(ctx context.Context, temp string, r io.Reader) (n int64, err error) {
	f, err := l.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	if n, err = io.Copy(f, contextReader{ctx, r}); err != nil {
		return n, err
	}
	return n, f.Sync()
}

// publish renames the finished file to its key.
func (l *Local) publish(temp, key string) error {
	if err := l.inFolder(key, func() error { return l.root.Rename(temp, key) }); err != nil {
		return err
	}
	return l.syncFolder(path.Dir(key))
}

// inFolder makes the key's folder and calls fn. A Delete beside it may prune the folder between the two, or while it is made, hence
// the loop: MkdirAll answers "exists" where the folder that was in its way is gone when it looks at it, and also where a file is.
func (l *Local) inFolder(key string, fn func() error) error {
	const tries = 100
	for try := 1; ; try++ {
		err := l.root.MkdirAll(path.Dir(key), 0o700)
		if err == nil {
			err = fn()
		}
		pruned := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist)
		if !pruned || try == tries {
			return err
		}
	}
}

func (l *Local) syncFolder(name string) error {
	f, err := l.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// WriteAt implements Store. It does not wait for the disk: a loss of power may lose what was written last.
func (l *Local) WriteAt(ctx context.Context, key string, offset int64, r io.Reader) error {
	if err := ValidKey(key); err != nil {
		return err
	}
	if offset < 0 {
		return fmt.Errorf("write %s: %w: %d is negative", key, ErrOffset, offset)
	}
	var f *os.File
	err := l.inFolder(key, func() (err error) {
		f, err = l.root.OpenFile(key, os.O_WRONLY|os.O_CREATE, 0o600)
		return err
	})
	if err != nil {
		return l.fail("write", key, err)
	}
	err = writeTail(ctx, f, offset, r)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return l.fail("write", key, err)
	}
	return nil
}

func writeTail(ctx context.Context, f *os.File, offset int64, r io.Reader) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if offset > info.Size() {
		return fmt.Errorf("%w: %d of %d bytes", ErrOffset, offset, info.Size())
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	n, err := io.Copy(f, contextReader{ctx, r})
	if err != nil {
		return err
	}
	if offset+n < info.Size() {
		return f.Truncate(offset + n)
	}
	return nil
}

// Open implements Store.
func (l *Local) Open(ctx context.Context, key string) (io.ReadSeekCloser, Info, error) {
	if err := ValidKey(key); err != nil {
		return nil, Info{}, err
	}
	if err := ctx.Err(); err != nil {
		return nil, Info{}, err
	}
	// Only regular files are blobs; opening a pipe that someone put into the folder would block.
	info, err := l.root.Lstat(key)
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, Info{}, l.fail("open", key, err)
	}
	f, err := l.root.Open(key)
	if err != nil {
		return nil, Info{}, l.fail("open", key, err)
	}
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, Info{}, l.fail("open", key, err)
	}
	return f, Info{Key: key, Size: info.Size(), ModTime: info.ModTime()}, nil
}

// List implements Store.
func (l *Local) List(ctx context.Context, prefix string) ([]Info, error) {
	start := "."
	if prefix != "" {
		if err := ValidKey(prefix); err != nil {
			return nil, err
		}
		start = prefix
	}
	infos := []Info{}
	err := fs.WalkDir(l.root.FS(), start, func(key string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case gone(err):
			return nil // deleted during the walk, or the prefix does not exist
		case err != nil:
			return err
		case key == tempFolder:
			return fs.SkipDir
		case !entry.Type().IsRegular():
			return nil
		}
		info, err := entry.Info()
		if gone(err) {
			return nil
		}
		if err != nil {
			return err
		}
		infos = append(infos, Info{Key: key, Size: info.Size(), ModTime: info.ModTime()})
		return nil
	})
	if err != nil {
		return nil, l.fail("list", prefix, err)
	}
	// A walk goes folder by folder; key order puts "a.b" before "a/b".
	slices.SortFunc(infos, func(a, b Info) int { return strings.Compare(a.Key, b.Key) })
	return infos, nil
}

// Delete implements Store. Folders that become empty go too.
func (l *Local) Delete(ctx context.Context, prefix string) error {
	if err := ValidKey(prefix); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.root.RemoveAll(prefix); err != nil && !gone(err) {
		return l.fail("delete", prefix, err)
	}
	for parent := path.Dir(prefix); parent != "."; parent = path.Dir(parent) {
		// The slash makes it remove a folder only, never a blob that has taken its place.
		if l.root.Remove(parent+"/") != nil {
			break // not empty, or already gone
		}
	}
	return nil
}

// gone reports whether there is nothing at a path, also because a folder of it is a file.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// fail names the file in an error of the file system and turns those that callers branch on into ours.
func (l *Local) fail(op, key string, err error) error {
	name := filepath.Join(l.dir, filepath.FromSlash(key))
	switch {
	case op == "open" && gone(err):
		return fmt.Errorf("%s %s: %w", op, key, ErrNotFound)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%s %s: %w: free some space on that disk", op, name, err)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.EEXIST):
		return fmt.Errorf("%s %s: %w: a file stands where a folder is needed, or the reverse", op, key, ErrInvalidKey)
	case errors.Is(err, syscall.ENAMETOOLONG):
		return fmt.Errorf("%s %s: %w: the path is too long", op, key, ErrInvalidKey)
	}
	return fmt.Errorf("%s %s: %w", op, name, err)
}

// contextReader ends with the context's error once that is done.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
