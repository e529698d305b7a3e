package backup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"oddish/internal/blob"
	"oddish/internal/store"
	"oddish/internal/tarball"
)

// Source is what is backed up. All of it may be in use.
type Source struct {
	DB      *store.DB
	Program string // version of this program
	// DatabaseOnly leaves out the key and the blobs.
	DatabaseOnly bool
	KeyFile      string     // need not exist
	Blobs        blob.Store // nil: there are none
}

// Summary says what was written.
type Summary struct {
	Manifest
	File      string   `json:"file"`
	Bytes     int64    `json:"bytes"` // size of the file
	Key       bool     `json:"key"`   // secret.key is in it
	Blobs     int      `json:"blobs"`
	BlobBytes int64    `json:"blob_bytes"`
	Missing   []string `json:"missing"`  // archives of tasks that the database names and that are not stored
	LeftOut   []string `json:"left_out"` // blobs whose names cannot be in an archive
}

// Write makes the backup at path: under another name first, so that a file of that name is replaced by a whole
// backup or not at all. It is gzipped if path ends in .gz or .tgz.
//
// The rows are one state of the database. Blobs are read after it, so that each one that a row names is there; a file that
// grows meanwhile is cut at the size that it had when it was found, one that is deleted meanwhile is left out.
func Write(ctx context.Context, path string, src Source) (Summary, error) {
	s, err := write(ctx, path, src)
	if err != nil {
		return Summary{}, fmt.Errorf("write backup %s: %w", path, err)
	}
	return s, nil
}

func write(ctx context.Context, path string, src Source) (s Summary, err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return s, errors.New("something that is not a file is there")
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return s, err
	}
	scratch, err := os.MkdirTemp(filepath.Dir(path), ".oddish-backup-*")
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(scratch)
	w := &writer{src: src, database: filepath.Join(scratch, databaseName), missing: map[string]bool{}}
	w.summary.File = path
	if err := w.snapshot(ctx); err != nil {
		return s, err
	}
	temp := filepath.Join(scratch, "backup")
	if err := w.file(ctx, temp, isGzipName(path)); err != nil {
		return s, err
	}
	if err := os.Rename(temp, path); err != nil {
		return s, err
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return s, err
	}
	return w.finish(), nil
}

func isGzipName(path string) bool {
	return strings.HasSuffix(path, ".gz") || strings.HasSuffix(path, ".tgz")
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

type writer struct {
	src      Source
	database string // the snapshot
	tar      *tar.Writer
	summary  Summary
	missing  map[string]bool // archives of tasks not met yet
}

// snapshot copies the database and reads from the copy what belongs to it.
func (w *writer) snapshot(ctx context.Context) error {
	if err := w.src.DB.Snapshot(ctx, w.database); err != nil {
		return err
	}
	w.summary.Manifest = Manifest{
		Format: format, CreatedAt: time.Now().UTC().Truncate(time.Second), Program: w.src.Program, Artifacts: !w.src.DatabaseOnly,
	}
	db, err := store.Open(ctx, "sqlite:///"+w.database, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	if w.summary.Schema, _, err = db.SchemaVersion(ctx); err != nil || w.src.DatabaseOnly || w.summary.Schema == 0 {
		return err
	}
	keys, err := db.ArchiveKeys(ctx)
	if err != nil {
		return err
	}
	for _, key := range keys {
		w.missing[key] = true
	}
	return nil
}

func (w *writer) file(ctx context.Context, path string, zip bool) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var out io.Writer = f
	finish := func() error { return nil }
	if zip {
		z := gzip.NewWriter(f)
		out, finish = z, z.Close
	}
	w.tar = tar.NewWriter(out)
	if err := w.members(ctx); err != nil {
		return err
	}
	if err := errors.Join(w.tar.Close(), finish(), f.Sync()); err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		w.summary.Bytes = info.Size()
	}
	return err
}

func (w *writer) members(ctx context.Context) error {
	manifest, err := json.MarshalIndent(w.summary.Manifest, "", "  ")
	if err != nil {
		return err
	}
	manifest = append(manifest, '\n')
	if err := w.member(ctx, manifestName, int64(len(manifest)), strings.NewReader(string(manifest))); err != nil {
		return err
	}
	if err := w.localFile(ctx, databaseName, w.database); err != nil || w.src.DatabaseOnly {
		return err
	}
	if w.src.KeyFile != "" {
		switch err := w.localFile(ctx, keyName, w.src.KeyFile); {
		case err == nil:
			w.summary.Key = true
		case !errors.Is(err, os.ErrNotExist):
			return err
		}
	}
	if w.src.Blobs == nil {
		return nil
	}
	return w.blobs(ctx)
}

func (w *writer) localFile(ctx context.Context, name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return w.member(ctx, name, info.Size(), f)
}

func (w *writer) blobs(ctx context.Context) error {
	infos, err := w.src.Blobs.List(ctx, "")
	if err != nil {
		return err
	}
	for _, info := range infos {
		name := blobsName + "/" + info.Key
		if tarball.CheckName(name) != nil {
			w.summary.LeftOut = append(w.summary.LeftOut, info.Key)
			continue
		}
		if err := w.blob(ctx, name, info.Key); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) blob(ctx context.Context, name, key string) error {
	f, info, err := w.src.Blobs.Open(ctx, key)
	if errors.Is(err, blob.ErrNotFound) {
		return nil // deleted since it was listed
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := w.member(ctx, name, info.Size, f); err != nil {
		return err
	}
	delete(w.missing, key)
	w.summary.Blobs++
	w.summary.BlobBytes += info.Size
	return nil
}

// member writes exactly size bytes: what a file has grown by meanwhile is left out, what it has lost is zeros.
func (w *writer) member(ctx context.Context, name string, size int64, r io.Reader) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h := &tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: w.summary.CreatedAt, Format: tar.FormatPAX,
	}
	if err := w.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	n, err := io.CopyN(w.tar, r, size)
	if errors.Is(err, io.EOF) {
		_, err = io.CopyN(w.tar, zeros{}, size-n)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// finish gives the summary, whose lists are never null.
func (w *writer) finish() Summary {
	w.summary.Missing = make([]string, 0, len(w.missing))
	for key := range w.missing {
		w.summary.Missing = append(w.summary.Missing, key)
	}
	slices.Sort(w.summary.Missing)
	if w.summary.LeftOut == nil {
		w.summary.LeftOut = []string{}
	}
	return w.summary
}
