package task

import (
	"fmt"
	"io"
	"os"

	"oddish/internal/tarball"
)

// Pack writes the task in dir as a deterministic tar.gz: what Digest covers, the .gitignore that
// it goes by, and what .gitignore leaves out below environment/, tests/, solution/ and
// steps/, since a build may need it; caches, editors' files and what files named .harborignore leave out stay behind. Unpacked
// elsewhere, the task has the same Digest.
func Pack(w io.Writer, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("pack task %s: %w", dir, err)
	}
	defer root.Close()
	ignore, err := readIgnore(root)
	if err != nil {
		return fmt.Errorf("pack task %s: %w", dir, err)
	}
	junk, more := parseIgnore(defaultIgnore), newHarborIgnore(root)
	err = tarball.PackGzip(w, dir, tarball.PackOptions{Include: func(rel string, isDir bool) bool {
		if rel == ".gitignore" {
			return true
		}
		left := ignore.ignored(rel) && junk.ignored(rel)
		if isDir {
			left = ignore.skips(rel) && junk.skips(rel)
		}
		return inDigest(rel) && !left && !more.excluded(rel, isDir)
	}})
	if more.err != nil {
		return fmt.Errorf("pack task %s: %w", dir, more.err)
	}
	return err
}
