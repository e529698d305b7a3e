package imagebuild

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"
)

// layer is what an instruction adds to the files of a stage.
type layer struct{ entries []entry }

// entry is a file, a folder or a link.
type entry struct {
	tar.Header
	open func() (io.ReadCloser, error) // content of a file
}

// owner of files.
type owner struct{ uid, gid int }

// dir adds a folder that is not there.
func (l *layer) dir(name string, own owner) {
	l.entries = append(l.entries, entry{Header: tar.Header{
		Typeflag: tar.TypeDir, Name: relative(name) + "/", Mode: 0o755, Uid: own.uid, Gid: own.gid, ModTime: time.Now(),
	}})
}

// text adds a small file.
func (l *layer) text(name, content string, mode fs.FileMode, own owner) {
	l.entries = append(l.entries, entry{
		Header: tar.Header{
			Typeflag: tar.TypeReg, Name: relative(name), Mode: int64(mode), Size: int64(len(content)), Uid: own.uid, Gid: own.gid, ModTime: time.Now(),
		},
		open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader([]byte(content))), nil },
	})
}

// relative makes a layer's name of an absolute path.
func relative(name string) string { return path.Clean("/" + name)[1:] }

// stream writes the layer as it is read.
func (l *layer) stream(context.Context) (io.ReadCloser, error) {
	pr, pw := io.Pipe()
	go func() { pw.CloseWithError(l.write(pw)) }()
	return pr, nil
}

func (l *layer) write(w io.Writer) error {
	out := tar.NewWriter(w)
	for i := range l.entries {
		e := &l.entries[i]
		if e.Name == "" || e.Name == "/" {
			continue // the root itself stays as it is
		}
		if err := out.WriteHeader(&e.Header); err != nil {
			return fmt.Errorf("copy %s: %w", e.Name, err)
		}
		if err := e.copyTo(out); err != nil {
			return fmt.Errorf("copy %s: %w", e.Name, err)
		}
	}
	return out.Close()
}

// copyTo writes the content of a file, of which there must be as much as there was when it was looked at.
func (e *entry) copyTo(w io.Writer) error {
	if e.open == nil {
		return nil
	}
	f, err := e.open()
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.CopyN(w, f, e.Size); err != nil {
		return fmt.Errorf("it became shorter while it was read: %w", err)
	}
	return nil
}

// sum is a digest of the layer, without times.
func (l *layer) sum() (string, error) {
	h := sha256.New()
	for i := range l.entries {
		e := &l.entries[i]
		fmt.Fprintf(h, "%q %c %o %d %d %q %d\n", e.Name, e.Typeflag, e.Mode, e.Uid, e.Gid, e.Linkname, e.Size)
		if err := e.copyTo(h); err != nil {
			return "", fmt.Errorf("read %s: %w", e.Name, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// header describes a file of a source.
func header(info fs.FileInfo, name, link string) tar.Header {
	h := tar.Header{Name: relative(name), Mode: int64(info.Mode().Perm()), ModTime: info.ModTime()}
	for bit, special := range map[fs.FileMode]int64{os.ModeSetuid: 0o4000, os.ModeSetgid: 0o2000, os.ModeSticky: 0o1000} {
		if info.Mode()&bit != 0 {
			h.Mode |= special
		}
	}
	switch {
	case info.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
	case info.Mode()&fs.ModeSymlink != 0:
		h.Typeflag, h.Linkname = tar.TypeSymlink, link
	default:
		h.Typeflag, h.Size = tar.TypeReg, info.Size()
	}
	return h
}
