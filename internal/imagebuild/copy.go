package imagebuild

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/patternmatcher"

	"oddish/internal/image"
)

// copying is a COPY or an ADD under way.
type copying struct {
	stage   *stage
	root    string // folder of the stage's files
	from    *source
	dest    string
	folder  bool   // dest is one, or will be
	own     *owner // nil: as they are
	mode    *int64 // nil: as they are
	exclude *patternmatcher.PatternMatcher
	fetched []*os.File
	layer   layer
}

func (s *stage) copy(ctx context.Context, c *instructions.CopyCommand) error {
	from := s.files
	if c.From != "" {
		var err error
		if from, err = s.named(ctx, c.From); err != nil {
			return err
		}
		defer from.close()
	}
	w, err := s.copying(from, c.SourcesAndDest, c.Chown, c.Chmod, c.ExcludePatterns)
	if err != nil {
		return err
	}
	for _, pattern := range c.SourcePaths {
		if err := w.find(pattern); err != nil {
			return err
		}
	}
	return w.finish(ctx, c, c.SourceContents)
}

// copying begins a COPY or an ADD.
func (s *stage) copying(from *source, what instructions.SourcesAndDest, chown, chmod string, exclude []string) (*copying, error) {
	root, err := s.Store.Root(s.chain)
	if err != nil {
		return nil, err
	}
	w := &copying{stage: s, root: root, from: from, dest: s.absolute(what.DestPath)}
	if w.own, err = s.owner(root, chown); err != nil {
		return nil, failed(err)
	}
	if w.mode, err = chmodOf(chmod); err != nil {
		return nil, failed(err)
	}
	if len(exclude) > 0 {
		if w.exclude, err = patternmatcher.New(exclude); err != nil {
			return nil, failedf("--exclude: %w", err)
		}
	}
	last := path.Base(what.DestPath)
	w.folder = strings.HasSuffix(what.DestPath, "/") || last == "." || last == ".." ||
		len(what.SourcePaths)+len(what.SourceContents) > 1 || isFolder(root, w.dest)
	return w, nil
}

// isFolder reports whether a path of an image is a folder, its links followed.
func isFolder(root, name string) bool {
	s, err := openRoot(root, "", "the image")
	if err != nil {
		return false
	}
	defer s.close()
	_, info, err := s.stat(name)
	return err == nil && info.IsDir()
}

// find copies what a pattern names.
func (w *copying) find(pattern string) error {
	names, err := w.from.find(pattern)
	if err != nil {
		return err
	}
	if len(names) > 1 {
		w.folder = true
	}
	for _, name := range names {
		if err := w.one(name); err != nil {
			return err
		}
	}
	return nil
}

// one copies a file, or the content of a folder.
func (w *copying) one(name string) error {
	at, info, err := w.from.stat(name)
	if err != nil {
		return failedf("look at %s: %w", name, err)
	}
	if info.IsDir() {
		w.folder = true
		return w.tree(at)
	}
	target := w.dest
	if w.folder {
		target = path.Join(w.dest, path.Base(name))
	}
	return w.put(at, target, info)
}

// tree copies the content of a folder. Links in it stay links.
func (w *copying) tree(top string) error {
	return fs.WalkDir(w.from.root.FS(), top, func(at string, e fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read %s: %w", at, err)
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(at, top), "/")
		if top == "." {
			rel = at
		}
		if rel == "" || rel == "." {
			return nil
		}
		if skip, all := w.skipped(at, rel); skip {
			if all && e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return fmt.Errorf("read %s: %w", at, err)
		}
		return w.put(at, path.Join(w.dest, rel), info)
	})
}

// skipped reports whether something is left out, and all below it with it.
func (w *copying) skipped(at, rel string) (skip, all bool) {
	if w.from.ignored(at) {
		return true, !w.from.ignore.Exclusions()
	}
	if matches(w.exclude, rel) {
		return true, !w.exclude.Exclusions()
	}
	return false, false
}

func (w *copying) put(at, target string, info fs.FileInfo) error {
	e, err := w.from.entry(at, target, info)
	if err != nil {
		return fmt.Errorf("read %s: %w", at, err)
	}
	if e == nil {
		return nil
	}
	if w.own != nil {
		e.Uid, e.Gid = w.own.uid, w.own.gid
	}
	if w.mode != nil && info.Mode()&fs.ModeSymlink == 0 {
		e.Mode = *w.mode
	}
	w.layer.entries = append(w.layer.entries, *e)
	return nil
}

// finish adds the files that the Dockerfile itself has, and lays all over the stage.
func (w *copying) finish(ctx context.Context, c instructions.Command, texts []instructions.SourceContent) error {
	for _, t := range texts {
		target, mode := w.dest, fs.FileMode(0o644)
		if w.folder {
			target = path.Join(w.dest, t.Path)
		}
		if w.mode != nil {
			mode = fs.FileMode(*w.mode)
		}
		w.layer.text(target, t.Data, mode, w.owns())
	}
	return w.lay(ctx, c)
}

// owns is who what is made for the copy belongs to.
func (w *copying) owns() owner {
	if w.own != nil {
		return *w.own
	}
	return owner{}
}

func (w *copying) lay(ctx context.Context, c instructions.Command) error {
	l := &layer{}
	folder := w.dest
	if !w.folder {
		folder = path.Dir(w.dest)
	}
	for _, dir := range missing(w.root, folder) {
		l.dir(dir, w.owns())
	}
	l.entries = append(l.entries, w.layer.entries...)
	key, err := l.sum()
	if err != nil {
		return err
	}
	return w.stage.extend(ctx, c, "copy "+key, l.stream)
}

// missing gives the folders on the way to one, and itself, that an image does not have.
func missing(root, dir string) []string {
	var all []string
	for dir != "/" {
		if _, err := image.Resolve(root, dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		all = append([]string{dir}, all...)
		dir = path.Dir(dir)
	}
	return all
}

// chmodOf reads --chmod.
func chmodOf(text string) (*int64, error) {
	if text == "" {
		return nil, nil
	}
	mode, err := strconv.ParseInt(text, 8, 32)
	if err != nil || mode < 0 || mode > 0o7777 {
		return nil, fmt.Errorf("--chmod=%s: only octal numbers are supported by builds without docker", text)
	}
	return &mode, nil
}

// owner reads --chown: names, which the stage must know, or numbers.
func (s *stage) owner(root, text string) (*owner, error) {
	if text == "" {
		return nil, nil
	}
	user, group, both := strings.Cut(text, ":")
	uid, err := lookUp(root, "etc/passwd", user)
	if err != nil {
		return nil, fmt.Errorf("--chown=%s: %w", text, err)
	}
	if !both {
		return &owner{uid, uid}, nil
	}
	gid, err := lookUp(root, "etc/group", group)
	if err != nil {
		return nil, fmt.Errorf("--chown=%s: %w", text, err)
	}
	return &owner{uid, gid}, nil
}

// maxAccounts bounds passwd and group, in bytes.
const maxAccounts = 1 << 20

// lookUp finds the number of a user or a group in a file of the image.
func lookUp(root, file, name string) (int, error) {
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	s, err := openRoot(root, "", "the image")
	if err != nil {
		return 0, err
	}
	defer s.close()
	at, info, err := s.stat(file)
	if err != nil {
		return 0, fmt.Errorf("the image has no %s to find %q in", file, name)
	}
	if !info.Mode().IsRegular() || info.Size() > maxAccounts {
		return 0, fmt.Errorf("%s of the image is no file of accounts", file)
	}
	data, err := fs.ReadFile(s.root.FS(), at)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) < 3 || fields[0] != name {
			continue
		}
		if n, err := strconv.ParseUint(fields[2], 10, 31); err == nil {
			return int(n), nil
		}
	}
	return 0, fmt.Errorf("%s of the image has no %q", file, name)
}
