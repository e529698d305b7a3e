// Package blob keeps task archives and the files of trials under slash-separated keys.
//
// It knows nothing of what the bytes mean: package server, above it, chooses the keys. Local
// keeps them in a folder, so that a trial's folder can be opened with other programs as it is.
package blob

import (
	"context"
	"errors"
	"io"
	"time"
)

// Errors that callers branch on.
var (
	// ErrNotFound: nothing is stored under the key.
	ErrNotFound = errors.New("not found")
	// ErrInvalidKey: the key is not a clean relative slash path, or lies below a stored file.
	ErrInvalidKey = errors.New("invalid key")
	// ErrOffset: WriteAt was asked to leave a gap.
	ErrOffset = errors.New("offset is past the end")
)

// Info describes a stored blob.
type Info struct {
	Key     string
	Size    int64 // bytes
	ModTime time.Time
}

// Store holds blobs. All methods may be called at once from many goroutines.
type Store interface {
	// Put stores all of r under key, replacing what was there, and returns the number of bytes.
	// Readers see the old content or the new one, never a part; when r or the store fails the old content stays.
	Put(ctx context.Context, key string, r io.Reader) (int64, error)

	// WriteAt writes r at offset bytes into the blob and ends it there: it makes files that grow
	// (logs) and repeats a chunk harmlessly. A missing blob counts as empty. ErrOffset when the
	// offset is past the end. Not atomic: a failure may leave a part of r behind, which the repeat mends.
	WriteAt(ctx context.Context, key string, offset int64, r io.Reader) error

	// Open returns a reader of the blob as it is now. ErrNotFound.
	Open(ctx context.Context, key string) (io.ReadSeekCloser, Info, error)

	// List returns the blobs whose key is prefix or lies below it as a folder ("a/b" lists "a/b/c",
	// not "a/bc"), sorted by key; an empty prefix lists all. No match is an empty list.
	List(ctx context.Context, prefix string) ([]Info, error)

	// Delete removes what List(prefix) would return. The empty prefix is refused with ErrInvalidKey;
	// nothing to delete is no error.
	Delete(ctx context.Context, prefix string) error
}
