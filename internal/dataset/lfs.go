package dataset

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// pointerStart is how git-lfs begins the small file that stands for a large one, and maxPointer the most bytes that one has
// (github.com/git-lfs/git-lfs, docs/spec.md).
const (
	pointerStart = "version https://git-lfs.github.com/spec/v1\n"
	maxPointer   = 1024
)

// large fetches the content of large files that are kept elsewhere. A task with a pointer in the place of a file must not run: it would fail
// for a reason that nobody sees.
func (r *repo) large(ctx context.Context, dirs []string) error {
	pointers, err := r.pointers(dirs)
	if err != nil || len(pointers) == 0 {
		return err
	}
	if _, err := r.git(ctx, "lfs", "version"); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("keeps %d files with git-lfs, such as %s: install git-lfs, and run again", len(pointers), pointers[0])
	}
	var include []string
	for _, d := range dirs {
		include = append(include, strings.TrimPrefix(d+"/**", "./"))
	}
	if _, err := r.git(ctx, "lfs", "pull", "--include", strings.Join(include, ",")); err != nil {
		return err
	}
	if pointers, err = r.pointers(dirs); err == nil && len(pointers) > 0 {
		err = fmt.Errorf("git-lfs did not bring %d files, such as %s", len(pointers), pointers[0])
	}
	return err
}

// pointers lists the files of the working tree that stand for large ones.
func (r *repo) pointers(dirs []string) ([]string, error) {
	var list []string
	for _, d := range dirs {
		top := filepath.Join(r.dir, filepath.FromSlash(d))
		err := filepath.WalkDir(top, func(file string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if e.IsDir() && e.Name() == ".git" {
				return fs.SkipDir
			}
			is, err := isPointer(file, e)
			if is {
				rel, _ := filepath.Rel(r.dir, file)
				list = append(list, filepath.ToSlash(rel))
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("look for files of git-lfs: %w", err)
		}
	}
	return list, nil
}

func isPointer(file string, e fs.DirEntry) (bool, error) {
	if !e.Type().IsRegular() {
		return false, nil
	}
	info, err := e.Info()
	if err != nil || info.Size() > maxPointer || info.Size() < int64(len(pointerStart)) {
		return false, err
	}
	data, err := os.ReadFile(file)
	return bytes.HasPrefix(data, []byte(pointerStart)), err
}
