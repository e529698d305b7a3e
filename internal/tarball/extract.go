package tarball

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// folder makes name and the folders above it. None of them may be a link, so that the place
// of everything below is the one that its name says.
func (u *unpacker) folder(name string) error {
	if u.folders[name] {
		return nil
	}
	if err := u.folder(path.Dir(name)); err != nil {
		return err
	}
	info, err := u.root.Lstat(name)
	_, taken := u.seen[name]
	switch {
	case errors.Is(err, fs.ErrNotExist) && taken:
		return refuse("%s is a link, not a folder", name)
	case errors.Is(err, fs.ErrNotExist):
		if err := u.root.Mkdir(name, 0o755); err != nil {
			return err
		}
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return refuse("%s is a link, not a folder", name)
	case !info.IsDir():
		return refuse("%s is a file, not a folder", name)
	}
	u.folders[name] = true
	return nil
}

// place makes room for a non-folder at name: the folders above it exist, and what was
// there before this archive is gone.
func (u *unpacker) place(name string) error {
	if name == "." {
		return refuse("not a folder")
	}
	if _, twice := u.seen[name]; twice {
		return refuse("occurs twice")
	}
	if err := u.folder(path.Dir(name)); err != nil {
		return err
	}
	info, err := u.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		return refuse("is a folder already")
	}
	return u.root.Remove(name)
}

func (u *unpacker) file(name string, h *tar.Header, content io.Reader) error {
	if !u.lenient && h.Mode&0o6000 != 0 {
		return refuse("file with a set-user or set-group bit")
	}
	return u.write(name, h, content)
}

// hardLink copies a file that this archive has brought before.
func (u *unpacker) hardLink(name string, h *tar.Header) error {
	target, err := cleanName(h.Linkname)
	if err != nil {
		return refuse("hard link: %w", err)
	}
	if !u.seen[target] {
		return refuse("hard link to %s, which is no file of this archive before it", target)
	}
	f, err := u.root.Open(target)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	copied := *h
	copied.Size, copied.Mode = info.Size(), int64(info.Mode().Perm())
	return u.write(name, &copied, f)
}

func (u *unpacker) link(name, target string) error {
	if u.lenient && u.linksOf == "" {
		return refuse("symbolic link")
	}
	if u.lenient {
		target = relative(name, target, u.linksOf)
	}
	if err := checkLink(name, target); err != nil {
		return refusal{err}
	}
	if err := u.place(name); err != nil {
		return err
	}
	u.seen[name] = false
	if u.lenient {
		u.report.Links = append(u.report.Links, Link{name, target})
		return nil
	}
	return u.root.Symlink(target, name)
}

// write makes the regular file name from h.Size bytes of content.
func (u *unpacker) write(name string, h *tar.Header, content io.Reader) error {
	size, err := u.allowed(h)
	if err != nil {
		return err
	}
	if err := u.place(name); err != nil {
		return err
	}
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.CopyN(f, content, size)
	u.report.Bytes += n
	if err == nil {
		err = f.Chmod(fileMode(fs.FileMode(h.Mode)))
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	u.seen[name] = true
	u.report.Files++
	if size < h.Size {
		u.report.Truncated = append(u.report.Truncated, name)
		return u.drop(h, h.Size-size)
	}
	return nil
}

// allowed gives how many bytes of a file may be written.
func (u *unpacker) allowed(h *tar.Header) (int64, error) {
	left := u.limits.Bytes - u.report.Bytes
	switch {
	case h.Size > u.limits.FileBytes && !u.lenient:
		return 0, fmt.Errorf("%w: file of %d bytes, more than %d", ErrLimit, h.Size, u.limits.FileBytes)
	case h.Size > left && !u.lenient:
		return 0, fmt.Errorf("%w: more than %d bytes in all", ErrLimit, u.limits.Bytes)
	case h.Size > 0 && left <= 0:
		return 0, u.full(h, "more than %d bytes in all", u.limits.Bytes)
	}
	return min(h.Size, u.limits.FileBytes, left), nil
}

// drop accounts for content that the tar reader is going to throw away, so that a stream of
// nothing but oversized files ends as well.
func (u *unpacker) drop(h *tar.Header, n int64) error {
	if n > maxDropped-u.dropped {
		return u.full(h, "more than %d bytes of oversized files", maxDropped)
	}
	u.dropped += n
	return nil
}
