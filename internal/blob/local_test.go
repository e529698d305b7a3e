package blob

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func newLocal(t *testing.T) (*Local, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "blobs")
	l, err := NewLocal(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l, dir
}

func TestLocalKeepsBlobsAsFilesUnderTheirKey(t *testing.T) {
	t.Parallel()
	l, dir := newLocal(t)
	if _, err := l.Put(t.Context(), "jobs/e/t__abc/result.json", strings.NewReader("{}")); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, "jobs", "e", "t__abc", "result.json"))
	if err != nil || string(content) != "{}" {
		t.Errorf("the file holds %q, %v", content, err)
	}
}

func TestLocalDeletePrunesEmptyFolders(t *testing.T) {
	t.Parallel()
	l, dir := newLocal(t)
	for _, key := range []string{"a/b/c/d", "a/x"} {
		if _, err := l.Put(t.Context(), key, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Delete(t.Context(), "a/b/c/d"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a", "b")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the empty folder a/b is still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a", "x")); err != nil {
		t.Error(err)
	}
}

func TestLocalFollowsNoLinkOutOfItsFolder(t *testing.T) {
	t.Parallel()
	l, dir := newLocal(t)
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"dir": outside, "file": filepath.Join(outside, "secret")} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"dir/secret", "file"} {
		if r, _, err := l.Open(t.Context(), key); err == nil {
			r.Close()
			t.Errorf("open %q left the folder", key)
		}
		if err := l.WriteAt(t.Context(), key, 0, strings.NewReader("gotcha")); err == nil {
			t.Errorf("write at %q left the folder", key)
		}
	}
	if _, err := l.Put(t.Context(), "dir/new", strings.NewReader("x")); err == nil {
		t.Error("put left the folder")
	}
	if err := l.Delete(t.Context(), "dir"); err != nil {
		t.Error(err)
	}
	if content, err := os.ReadFile(filepath.Join(outside, "secret")); err != nil || string(content) != "s" {
		t.Errorf("the file outside holds %q, %v", content, err)
	}
}

func TestLocalRefusesABlobBelowABlob(t *testing.T) {
	t.Parallel()
	l, _ := newLocal(t)
	if _, err := l.Put(t.Context(), "a", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Put(t.Context(), "a/b", strings.NewReader("x")); !errors.Is(err, ErrInvalidKey) {
		t.Errorf("put below a blob: %v, want ErrInvalidKey", err)
	}
	if err := l.WriteAt(t.Context(), "a/b", 0, strings.NewReader("x")); !errors.Is(err, ErrInvalidKey) {
		t.Errorf("write below a blob: %v, want ErrInvalidKey", err)
	}
	if _, err := l.Put(t.Context(), "d/e", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Put(t.Context(), "d", strings.NewReader("x")); !errors.Is(err, ErrInvalidKey) {
		t.Errorf("put over a folder: %v, want ErrInvalidKey", err)
	}
}

func TestLocalRemovesUploadsOfDeadProcesses(t *testing.T) {
	t.Parallel()
	_, dir := newLocal(t)
	dead, alive := filepath.Join(dir, tempFolder, "dead"), filepath.Join(dir, tempFolder, "alive")
	for _, name := range []string{dead, alive} {
		if err := os.WriteFile(name, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-2 * abandonedAfter)
	if err := os.Chtimes(dead, old, old); err != nil {
		t.Fatal(err)
	}
	if _, err := NewLocal(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the abandoned upload is still there: %v", err)
	}
	if _, err := os.Stat(alive); err != nil {
		t.Errorf("a running upload was removed: %v", err)
	}
}

func TestLocalNamesTheFileWhenTheDiskIsFull(t *testing.T) {
	t.Parallel()
	l, dir := newLocal(t)
	err := l.fail("store", "jobs/e/log", &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC})
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), filepath.Join(dir, "jobs", "e", "log")) {
		t.Errorf("the error is %q", err)
	}
}

func TestNewLocalNamesAFolderThatItCannotUse(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewLocal(filepath.Join(file, "blobs")); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("the error is %v", err)
	}
}
