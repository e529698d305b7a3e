package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"oddish/client"
)

// What is uploaded of one trial directory at most.
const (
	maxFiles     = 10_000
	maxFileBytes = 256 << 20 // of one file; the rest is cut
	maxAllBytes  = 2 << 30
)

// uploadChunk is how much of a file goes in one request, in bytes: servers and proxies bound requests,
// and after a break only this much is sent again.
const uploadChunk = 16 << 20

// uploadsAtOnce is how many files of one trial are on their way at the same time.
const uploadsAtOnce = 4

// notUploaded is the file that lists what was left out or cut, and why.
const notUploaded = "not-uploaded.txt"

// file is one regular file of a trial directory.
type file struct {
	name string // slash path relative to the directory
	size int64  // what is to be sent of it
}

// omissions gathers what was left out.
type omissions struct {
	mu    sync.Mutex
	lines []string
}

func (o *omissions) add(name, reason string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines = append(o.lines, fmt.Sprintf("%q: %s", name, reason))
}

func (o *omissions) text() []byte {
	slices.Sort(o.lines)
	return []byte(strings.Join(o.lines, "\n") + "\n")
}

// upload sends every regular file below dir and returns once the server has them all. The error
// is the loss of the lease. A file that cannot be sent is noted and does not hold up the rest.
func (w *Worker) upload(j *job, dir string) error {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the trial ended before it had a directory
	}
	if err != nil {
		j.log.ErrorContext(j.held, "trial directory cannot be read", "error", err)
		return nil
	}
	defer root.Close()
	var left omissions
	group, ctx := errgroup.WithContext(j.held)
	group.SetLimit(uploadsAtOnce)
	for _, f := range list(root, &left) {
		group.Go(func() error { return w.uploadFile(ctx, j, root, f, &left) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if len(left.lines) == 0 {
		return nil
	}
	j.log.WarnContext(j.held, "some files of the trial were not uploaded", "count", len(left.lines), "first", left.lines[0])
	note := left.text()
	return w.put(j.held, j, file{notUploaded, int64(len(note))}, bytes.NewReader(note), &left)
}

func (w *Worker) uploadFile(ctx context.Context, j *job, root *os.Root, f file, left *omissions) error {
	r, err := openRegular(root, f.name)
	if err != nil {
		left.add(f.name, err.Error())
		return nil
	}
	defer r.Close()
	clean, err := redacted(&j.secrets, r, f)
	if err != nil {
		left.add(f.name, err.Error())
		return nil
	}
	if clean == nil {
		return w.put(ctx, j, f, r, left)
	}
	defer clean.close()
	return w.put(ctx, j, file{f.name, clean.size}, clean, left)
}

// put replaces one file on the server, with its first chunk, and appends the others.
func (w *Worker) put(ctx context.Context, j *job, f file, r io.ReaderAt, left *omissions) error {
	offset := client.Replace
	for from := int64(0); ; from, offset = from+uploadChunk, from+uploadChunk {
		chunk := io.NewSectionReader(r, from, min(f.size-from, uploadChunk))
		err := persist(ctx, j.log, "file "+f.name, func(ctx context.Context) error {
			return w.c.Server.PutFile(ctx, j.ID, j.Lease, f.name, offset, chunk)
		})
		if isRefused(err) {
			left.add(f.name, "the server refuses it: "+err.Error())
			return nil
		}
		if err != nil || from+uploadChunk >= f.size {
			return err
		}
	}
}

// list returns the regular files below root in order. It follows no links.
func list(root *os.Root, left *omissions) []file {
	var files []file
	var total int64
	err := fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			left.add(name, err.Error())
			return nil
		case d.IsDir():
			return nil
		case !d.Type().IsRegular():
			left.add(name, "not a regular file")
			return nil
		case len(files) == maxFiles:
			left.add(name, fmt.Sprintf("more than %d files", maxFiles))
			return fs.SkipAll
		}
		info, err := d.Info()
		if err != nil {
			left.add(name, err.Error())
			return nil
		}
		size := min(info.Size(), maxFileBytes, maxAllBytes-total)
		if size < info.Size() {
			left.add(name, fmt.Sprintf("cut to %d of %d bytes", size, info.Size()))
		}
		total += size
		files = append(files, file{name: name, size: size})
		return nil
	})
	if err != nil {
		left.add(".", err.Error())
	}
	return files
}

// openRegular opens a regular file below root without following a link in its place and without
// waiting for the other end of a pipe.
func openRegular(root *os.Root, name string) (*os.File, error) {
	before, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	after, err := f.Stat()
	if err == nil && !os.SameFile(before, after) {
		err = fmt.Errorf("%s changed while it was opened", name)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
