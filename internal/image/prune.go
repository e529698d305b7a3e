package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Listed is an image of a list.
type Listed struct {
	Image
	Names []string  // by which it was pulled or loaded
	Used  time.Time // last
}

// List gives the images of the store, the last used first.
func (s *Store) List() ([]Listed, error) {
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, "images"))
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	var all []Listed
	for _, e := range entries {
		hex, is := strings.CutPrefix(strings.TrimSuffix(e.Name(), ".json"), "sha256-")
		if !is {
			continue
		}
		img, err := s.Find("sha256:" + hex)
		if errors.Is(err, fs.ErrNotExist) {
			continue // just removed
		}
		if err != nil {
			return nil, fmt.Errorf("list images: %w", err)
		}
		l := Listed{Image: img}
		for name, digest := range names {
			if digest == img.Digest {
				l.Names = append(l.Names, strings.TrimSuffix(name, " for "+img.Platform))
			}
		}
		slices.Sort(l.Names)
		if info, err := e.Info(); err == nil {
			l.Used = info.ModTime()
		}
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b Listed) int {
		return cmp.Or(b.Used.Compare(a.Used), cmp.Compare(a.Digest, b.Digest))
	})
	return all, nil
}

// names gives the digests that names stand for.
func (s *Store) names() (map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(s.dir, "names", "*.json"))
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, f := range files {
		var n named
		if err := readJSON(f, &n); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return nil, fmt.Errorf("list the names of images: %w", err)
		}
		all[n.Name] = n.Digest
	}
	return all, nil
}

// Prune removes images, the longest unused first, until what is left has at most keep bytes, each counted whole. Those for which used
// reports true stay. It gives what it removed.
func (s *Store) Prune(ctx context.Context, keep int64, used func(Listed) bool) ([]Listed, error) {
	all, err := s.List()
	if err != nil {
		return nil, err
	}
	var size int64
	for _, l := range all {
		size += l.Size
	}
	var removed []Listed
	for _, l := range slices.Backward(all) {
		if size <= keep {
			break
		}
		if ctx.Err() != nil {
			return removed, ctx.Err()
		}
		if used(l) {
			continue
		}
		if err := s.remove(l.Image); err != nil {
			return removed, err
		}
		size -= l.Size
		removed = append(removed, l)
	}
	return removed, s.sweep(ctx)
}

// remove takes an image out of the store: first what leads to it.
func (s *Store) remove(img Image) error {
	names, err := s.names()
	if err != nil {
		return err
	}
	for name, digest := range names {
		if digest != img.Digest {
			continue
		}
		if err := os.Remove(s.nameFile(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove image %s: %w", img.Digest, err)
		}
	}
	if err := os.Remove(s.imageFile(img.Digest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove image %s: %w", img.Digest, err)
	}
	chains, err := s.chainsInUse()
	if err != nil || chains[fileName(img.Chain)] {
		return err
	}
	if err := removeTree(filepath.Dir(s.root(img.Chain))); err != nil {
		return fmt.Errorf("remove image %s: %w", img.Digest, err)
	}
	return nil
}

// chainsInUse are the names of the folders of chains that images have.
func (s *Store) chainsInUse() (map[string]bool, error) {
	all, err := s.List()
	if err != nil {
		return nil, err
	}
	has := map[string]bool{}
	for _, l := range all {
		has[fileName(l.Chain)] = true
	}
	return has, nil
}

// unusedAfter is how old a chain that no image has is when it goes. Builds keep their steps in such.
const unusedAfter = 7 * 24 * time.Hour

// sweep removes chains that no image has, and fetches that were given up.
func (s *Store) sweep(ctx context.Context) error {
	has, err := s.chainsInUse()
	if err != nil {
		return err
	}
	for _, folder := range []string{"chains", "blobs", "caches"} {
		entries, err := os.ReadDir(filepath.Join(s.dir, folder))
		if err != nil {
			return fmt.Errorf("look for what no image needs: %w", err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || has[e.Name()] || time.Since(info.ModTime()) < unusedAfter || ctx.Err() != nil {
				continue
			}
			if err := removeTree(filepath.Join(s.dir, folder, e.Name())); err != nil {
				return fmt.Errorf("remove what no image needs: %w", err)
			}
		}
	}
	return ctx.Err()
}
