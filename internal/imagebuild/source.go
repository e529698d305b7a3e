package imagebuild

import (
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

	"github.com/moby/patternmatcher"

	"oddish/internal/dockerfile"
	"oddish/internal/image"
)

// source is a tree that files are copied from: the build's context, a stage or an image. Nothing outside of it is reached, whatever its links say.
type source struct {
	root   *os.Root
	dir    string
	what   string // for messages
	chain  string // of a stage or an image; empty: the context
	ignore *patternmatcher.PatternMatcher
}

// openContext opens the build's context. What its .dockerignore names, or that of the Dockerfile, is not there.
func openContext(dir, file string) (*source, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the build's context: %w", err)
	}
	s := &source{root: root, dir: dir, what: "the build's context"}
	for _, name := range []string{file + ".dockerignore", ".dockerignore"} {
		f, err := root.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			s.ignore, err = dockerfile.Ignore(f)
			f.Close()
		}
		if err != nil {
			return nil, errors.Join(failedf("%s: %w", name, err), root.Close())
		}
		break
	}
	return s, nil
}

// openRoot opens the files of a stage or an image.
func openRoot(dir, chain, what string) (*source, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the files of %s: %w", what, err)
	}
	return &source{root: root, dir: dir, what: what, chain: chain}, nil
}

func (s *source) close() { s.root.Close() }

func (s *source) ignored(rel string) bool { return matches(s.ignore, rel) }

// matches reports whether patterns name a path, or a folder that it is in.
func matches(m *patternmatcher.PatternMatcher, rel string) bool {
	if m == nil || rel == "." {
		return false
	}
	is, err := m.MatchesOrParentMatches(rel)
	return err == nil && is // the patterns were checked when they were read
}

// find gives the paths that a pattern of COPY names, sorted. One without wildcards must be there.
func (s *source) find(pattern string) ([]string, error) {
	clean := relative(pattern)
	if !strings.ContainsAny(clean, `*?[\`) {
		_, err := image.Resolve(s.dir, clean)
		if errors.Is(err, fs.ErrNotExist) || err == nil && s.ignored(clean) {
			return nil, failedf("%s is not in %s%s", pattern, s.what, s.hint(clean))
		}
		if err != nil {
			return nil, failedf("find %s in %s: %w", pattern, s.what, err)
		}
		return []string{clean}, nil
	}
	found := []string{"."}
	for part := range strings.SplitSeq(clean, "/") {
		var err error
		if found, err = s.below(found, part); err != nil {
			return nil, failedf("find %s in %s: %w", pattern, s.what, err)
		}
	}
	return slices.DeleteFunc(found, s.ignored), nil
}

func (s *source) hint(name string) string {
	if s.ignored(name) {
		return ": .dockerignore leaves it out"
	}
	return ""
}

// below gives what of the folders matches one part of a pattern.
func (s *source) below(folders []string, part string) ([]string, error) {
	var found []string
	for _, folder := range folders {
		at, err := image.Resolve(s.dir, folder)
		if err != nil {
			continue // a file on the way, or a link that leads nowhere
		}
		entries, err := fs.ReadDir(s.root.FS(), at)
		if err != nil {
			continue
		}
		for _, e := range entries { // which are sorted
			is, err := path.Match(part, e.Name())
			if err != nil {
				return nil, err
			}
			if is {
				found = append(found, path.Join(folder, e.Name()))
			}
		}
	}
	return found, nil
}

// stat looks at a path with its links followed, and gives where it leads.
func (s *source) stat(name string) (string, fs.FileInfo, error) {
	at, err := image.Resolve(s.dir, name)
	if err != nil {
		return "", nil, err
	}
	info, err := s.root.Lstat(at)
	return at, info, err
}

// entry makes a layer's entry of a file. Nil: it is of a kind that is not copied.
func (s *source) entry(at, target string, info fs.FileInfo) (*entry, error) {
	link := ""
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		var err error
		if link, err = s.root.Readlink(at); err != nil {
			return nil, err
		}
	case !info.IsDir() && !info.Mode().IsRegular():
		return nil, nil
	}
	e := &entry{Header: header(info, target, link)}
	if st, is := info.Sys().(*syscall.Stat_t); is && s.chain != "" { // files of the context are root's
		e.Uid, e.Gid = int(st.Uid), int(st.Gid)
	}
	if info.Mode().IsRegular() {
		e.open = func() (io.ReadCloser, error) { return s.root.Open(at) }
	}
	return e, nil
}

// path is where something of the source lies on this machine.
func (s *source) path(at string) string { return filepath.Join(s.dir, filepath.FromSlash(at)) }
