package fake

import (
	"archive/tar"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// files are the files and folders of a sandbox by absolute path.
type files map[string]file

type file struct {
	dir  bool
	data []byte
	mode fs.FileMode
}

func newFiles() files { return files{"/": {dir: true, mode: 0o755}} }

func (f files) mkdir(name string) {
	for name = path.Clean(name); !f[name].dir; name = path.Dir(name) {
		f[name] = file{dir: true, mode: 0o755}
		if name == "/" || name == "." {
			return
		}
	}
}

func (f files) write(name string, data []byte, mode fs.FileMode) {
	name = path.Clean(name)
	f.mkdir(path.Dir(name))
	f[name] = file{data: data, mode: mode}
}

func (f files) merge(other files) {
	for name, x := range other {
		if x.dir {
			f.mkdir(name)
		} else {
			f.write(name, x.data, x.mode)
		}
	}
}

// clear removes what is below dir, which is made if absent.
func (f files) clear(dir string) {
	maps.DeleteFunc(f, func(name string, _ file) bool { return strings.HasPrefix(name, dir+"/") })
	f.mkdir(dir)
}

// below gives the content of a folder by relative name, or one file under its base name.
func (f files) below(src string) (files, bool) {
	src = path.Clean(src)
	top, ok := f[src]
	if !ok {
		return nil, false
	}
	if !top.dir {
		return files{path.Base(src): top}, true
	}
	got := files{}
	prefix := strings.TrimSuffix(src, "/") + "/"
	for name, x := range f {
		if rel, is := strings.CutPrefix(name, prefix); is && rel != "" {
			got[rel] = x
		}
	}
	return got, true
}

// pack writes files as a tar stream, sorted by name.
func pack(w io.Writer, f files) error {
	tw := tar.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(f)) {
		x := f[name]
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: int64(x.mode), Size: int64(len(x.data)), ModTime: time.Unix(0, 0)}
		if x.dir {
			h.Name, h.Typeflag, h.Size = name+"/", tar.TypeDir, 0
		}
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		if _, err := tw.Write(x.data); err != nil {
			return err
		}
	}
	return tw.Close()
}

// unpack reads the folders and regular files of a tar stream to its end, as absolute paths below dst.
func unpack(dst string, r io.Reader) (files, error) {
	got := files{}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			_, err = io.Copy(io.Discard, r)
			return got, err
		}
		if err != nil {
			return nil, err
		}
		name := path.Join("/", dst, h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			got[name] = file{dir: true, mode: 0o755}
		case tar.TypeReg:
			data, err := io.ReadAll(tr)
			if err != nil {
				return nil, err
			}
			got[name] = file{data: data, mode: fs.FileMode(h.Mode).Perm()}
		}
	}
}
