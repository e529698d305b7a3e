package tarball

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

// PackOptions chooses what is packed. The zero value packs everything.
type PackOptions struct {
	// Include is asked about every entry below the folder, by its slash-separated
	// relative name. A folder that is not included is not entered. Nil includes everything.
	Include func(rel string, isDir bool) bool
	// Executable is the relative name of a file, or of a link to one below the folder, that is packed as executable whatever it is here; empty: none.
	Executable string
	// Links are packed as if they were in the folder. One that Pack would not pack if it were, or where something else is, is an error.
	Links []Link
}

// Pack writes dir as a tar stream whose bytes depend only on the names, the contents and the
// execute bits below it: entries are sorted, times and owners zero, modes 0644 or 0755.
//
// Symbolic links are never followed. Those that stay inside dir are kept as links; others, as
// well as pipes, sockets, devices and names that Unpack would refuse, are an error that names
// the entry. A file that changes its size while it is read is an error too.
func Pack(w io.Writer, dir string, o PackOptions) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("pack %s: %w", dir, err)
	}
	defer root.Close()
	p := packer{root: root, tar: tar.NewWriter(w), include: o.Include, executable: behindLinks(dir, o.Executable)}
	if err := fs.WalkDir(root.FS(), ".", p.visit); err != nil {
		return fmt.Errorf("pack %s: %w", dir, err)
	}
	if err := p.links(o.Links); err != nil {
		return fmt.Errorf("pack %s: %w", dir, err)
	}
	if err := p.tar.Close(); err != nil {
		return fmt.Errorf("pack %s: %w", dir, err)
	}
	return nil
}

// PackGzip is Pack through gzip, equally deterministic.
func PackGzip(w io.Writer, dir string, o PackOptions) error {
	z := gzip.NewWriter(w)
	if err := Pack(z, dir, o); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("pack %s: %w", dir, err)
	}
	return nil
}

// PackFile writes a tar stream of one file of this machine under the name, with its execute bit. A file that changes its size while it is read is an error.
func PackFile(w io.Writer, file, name string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("pack %s: %s cannot be packed", file, kindOf(info.Mode()))
	}
	out := tar.NewWriter(w)
	h := header(name, tar.TypeReg, fileMode(info.Mode()))
	h.Size = info.Size()
	if err := out.WriteHeader(h); err != nil {
		return fmt.Errorf("pack %s: %w", file, err)
	}
	if n, err := io.Copy(out, f); err != nil || n != h.Size {
		return errors.Join(fmt.Errorf("pack %s: changed while it was read", file), err)
	}
	return out.Close()
}

type packer struct {
	root       *os.Root
	tar        *tar.Writer
	include    func(rel string, isDir bool) bool
	executable string
}

// behindLinks gives the relative name of the file that a name below dir is or links to; the name itself where there is none.
func behindLinks(dir, name string) string {
	if name == "" {
		return ""
	}
	top, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return name
	}
	file, err := filepath.EvalSymlinks(filepath.Join(dir, name))
	if err != nil {
		return name
	}
	if rel, err := filepath.Rel(top, file); err == nil {
		return filepath.ToSlash(rel)
	}
	return name
}

// visit is the fs.WalkDirFunc of Pack.
func (p *packer) visit(rel string, d fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	if rel == "." {
		return nil
	}
	if p.include != nil && !p.include(rel, d.IsDir()) {
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	if _, err := cleanName(rel); err != nil {
		return fmt.Errorf("%q: %w", rel, err)
	}
	switch d.Type() {
	case fs.ModeDir:
		return p.tar.WriteHeader(header(rel+"/", tar.TypeDir, 0o755))
	case fs.ModeSymlink:
		return p.link(rel)
	case 0:
		return p.file(rel)
	}
	return fmt.Errorf("%s: %s cannot be packed", rel, kindOf(d.Type()))
}

func (p *packer) link(rel string) error {
	target, err := p.root.Readlink(rel)
	if err != nil {
		return err
	}
	return p.symlink(rel, target)
}

// links packs links that are not in the folder.
func (p *packer) links(list []Link) error {
	names := map[string]bool{}
	for _, l := range list {
		if clean, err := cleanName(l.Name); err != nil || clean != l.Name || l.Name == "." || names[l.Name] {
			return errors.Join(fmt.Errorf("%q: no name for a link", l.Name), err)
		}
		names[l.Name] = true
	}
	for _, l := range list {
		for above := path.Dir(l.Name); above != "."; above = path.Dir(above) {
			info, err := p.root.Lstat(above)
			if names[above] || err == nil && !info.IsDir() {
				return fmt.Errorf("%s: %s is no folder", l.Name, above)
			}
		}
		if _, err := p.root.Lstat(l.Name); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(fmt.Errorf("%s: something else than the link is there", l.Name), err)
		}
		if err := p.symlink(l.Name, l.Target); err != nil {
			return err
		}
	}
	return nil
}

func (p *packer) symlink(rel, target string) error {
	if err := checkLink(rel, target); err != nil {
		return fmt.Errorf("%s: %w", rel, err)
	}
	h := header(rel, tar.TypeSymlink, 0o777)
	h.Linkname = target
	return p.tar.WriteHeader(h)
}

func (p *packer) file(rel string) error {
	f, err := p.root.Open(rel)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	mode := info.Mode()
	if rel == p.executable {
		mode |= 0o111
	}
	h := header(rel, tar.TypeReg, fileMode(mode))
	h.Size = info.Size()
	if err := p.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", rel, err)
	}
	n, err := io.Copy(p.tar, f)
	if errors.Is(err, tar.ErrWriteTooLong) || err == nil && n != h.Size {
		return fmt.Errorf("%s: changed while it was read", rel)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", rel, err)
	}
	return nil
}

func header(name string, kind byte, mode fs.FileMode) *tar.Header {
	return &tar.Header{Typeflag: kind, Name: name, Mode: int64(mode), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
}

// fileMode reduces a mode to the one bit that archives keep.
func fileMode(m fs.FileMode) fs.FileMode {
	if m&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

// kindOf names what a special file is.
func kindOf(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "a special file"
}
