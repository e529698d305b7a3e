package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Names in layers by which files of the layers below are removed, as in the OCI image specification.
const (
	whiteoutPrefix = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
)

// layer unpacks one layer over those below it. Nothing in a layer can reach out of the root: every step of a path is looked at, links
// are followed within the root only, and os.Root stands guard besides.
type layer struct {
	root   *os.Root
	owners bool
	mine   map[string]bool // paths that this layer has made, which its own whiteouts spare
	dirs   []dirTime
	size   int64
}

// dirTime is a directory's time, which is set when nothing is put into it any more.
type dirTime struct {
	path   string
	header *tar.Header
}

// applyLayer unpacks the tar stream over the tree at dir. It gives the bytes of the files that were written.
func applyLayer(dir string, stream io.Reader, owners bool) (int64, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	l := &layer{root: root, owners: owners, mine: map[string]bool{}}
	in := tar.NewReader(stream)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return l.size, fmt.Errorf("read the layer: %w", err)
		}
		if err := l.entry(h, in); err != nil {
			return l.size, fmt.Errorf("unpack %s: %w", h.Name, err)
		}
	}
	// What follows the end of an archive belongs to the layer's digest.
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return l.size, fmt.Errorf("read the layer: %w", err)
	}
	return l.size, l.setDirTimes()
}

func (l *layer) entry(h *tar.Header, content io.Reader) error {
	name := path.Clean("/" + h.Name)[1:]
	if name == "" {
		return l.attributes(".", h)
	}
	parent, err := l.folder(path.Dir(name))
	if err != nil {
		return err
	}
	base := path.Base(name)
	at := path.Join(parent, base)
	switch {
	case base == whiteoutOpaque:
		return l.clear(parent)
	case strings.HasPrefix(base, whiteoutPrefix):
		return l.whiteout(path.Join(parent, strings.TrimPrefix(base, whiteoutPrefix)))
	case h.Typeflag == tar.TypeChar && h.Devmajor == 0 && h.Devminor == 0: // overlay file systems say it so
		return l.whiteout(at)
	}
	l.mine[at] = true
	return l.place(at, h, content)
}

// whiteout removes what lower layers have at a path.
func (l *layer) whiteout(at string) error {
	if l.mine[at] {
		return nil
	}
	return l.remove(at)
}

// clear removes what lower layers have in a directory.
func (l *layer) clear(dir string) error {
	entries, err := fs.ReadDir(l.root.FS(), dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := l.whiteout(path.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (l *layer) remove(at string) error {
	if err := l.root.RemoveAll(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// place makes what the header describes. A file that is there is removed first: it may be shared with another image.
func (l *layer) place(at string, h *tar.Header, content io.Reader) error {
	info, err := l.root.Lstat(at)
	there := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	stays := there && info.IsDir() && h.Typeflag == tar.TypeDir
	if there && !stays {
		if err := l.remove(at); err != nil {
			return err
		}
	}
	err = nil
	switch h.Typeflag {
	case tar.TypeDir:
		if !stays {
			err = l.root.Mkdir(at, 0o700)
		}
		l.dirs = append(l.dirs, dirTime{at, h})
	case tar.TypeReg:
		return l.file(at, h, content)
	case tar.TypeSymlink:
		err = l.root.Symlink(h.Linkname, at)
	case tar.TypeLink:
		return l.hardLink(at, h) // whose attributes are those of what it links to
	case tar.TypeFifo:
		err = l.fifo(at, h)
	default: // devices: a sandbox makes its own
		return nil
	}
	if err != nil {
		return err
	}
	return l.attributes(at, h)
}

func (l *layer) file(at string, h *tar.Header, content io.Reader) error {
	f, err := l.root.OpenFile(at, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, content)
	l.size += n
	if err == nil {
		err = l.attributes(at, h)
	}
	if err == nil { // last: a change of owner takes them away
		err = setXattrs(f, h)
	}
	return errors.Join(err, f.Close())
}

// hardLink links to a file of this image. The target is a path of the image, not relative to the link.
func (l *layer) hardLink(at string, h *tar.Header) error {
	target := path.Clean("/" + h.Linkname)[1:]
	parent, err := l.folder(path.Dir(target))
	if err != nil {
		return err
	}
	return l.root.Link(path.Join(parent, path.Base(target)), at)
}

func (l *layer) fifo(at string, h *tar.Header) error {
	dir, err := l.root.Open(path.Dir(at))
	if err != nil {
		return err
	}
	defer dir.Close()
	return unix.Mkfifoat(int(dir.Fd()), path.Base(at), uint32(h.Mode&0o777))
}

// attributes sets owner, mode and time, in this order: a change of owner takes set-user-id bits away.
func (l *layer) attributes(at string, h *tar.Header) error {
	if l.owners {
		if err := l.root.Lchown(at, h.Uid, h.Gid); err != nil {
			return err
		}
	}
	if h.Typeflag == tar.TypeSymlink {
		return nil
	}
	mode := h.FileInfo().Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
	if !l.owners && h.Typeflag == tar.TypeDir {
		mode |= 0o700 // or we could not go on in it
	}
	if err := l.root.Chmod(at, mode); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeDir {
		return nil // later
	}
	return l.root.Chtimes(at, h.ModTime, h.ModTime)
}

func (l *layer) setDirTimes() error {
	for i := len(l.dirs) - 1; i >= 0; i-- {
		d := l.dirs[i]
		err := l.root.Chtimes(d.path, d.header.ModTime, d.header.ModTime)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) { // replaced by a later entry
			return err
		}
	}
	return nil
}

// setXattrs sets the extended attributes that programs need, which are capabilities of files. Where they cannot be had the file is as good as it gets.
func setXattrs(f *os.File, h *tar.Header) error {
	const prefix = "SCHILY.xattr."
	for key, value := range h.PAXRecords {
		name, is := strings.CutPrefix(key, prefix)
		if !is || name != "security.capability" {
			continue
		}
		err := unix.Fsetxattr(int(f.Fd()), name, []byte(value), 0)
		if err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}
