package task

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// Digest is Harbor's content digest of a task directory, in hex: what publishing and
// comparing versions go by. It covers task.toml, instruction.md, README.md and
// trajectory.json and every regular file below environment/, tests/, solution/ and
// steps/, less what the task's .gitignore (or, without one, a short list of editors' and caches' files)
// leaves out, and what files named .harborignore do. Names and contents count, modes do not. A link to a file counts as that file; one
// that leads out of dir is an error.
func Digest(dir string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", fmt.Errorf("digest of task %s: %w", dir, err)
	}
	defer root.Close()
	ignore, err := readIgnore(root)
	if err != nil {
		return "", fmt.Errorf("digest of task %s: %w", dir, err)
	}
	more := newHarborIgnore(root)
	files, err := regularFiles(root, func(rel string, isDir bool) bool {
		return inDigest(rel) && !more.excluded(rel, isDir) && !(isDir && ignore.skips(rel)) && (isDir || !ignore.ignored(rel))
	})
	err = errors.Join(more.err, err)
	if err != nil {
		return "", fmt.Errorf("digest of task %s: %w", dir, err)
	}
	slices.Sort(files)
	outer := sha256.New()
	for _, rel := range files {
		inner := sha256.New()
		if err := hashFile(inner, root, rel); err != nil {
			return "", fmt.Errorf("digest of task %s: %w", dir, err)
		}
		fmt.Fprintf(outer, "%s\x00%x\n", rel, inner.Sum(nil))
	}
	return hex.EncodeToString(outer.Sum(nil)), nil
}

// LegacyHash is the content hash of the Python client, in hex: every file of the directory,
// in the order of their paths compared element by element, path bytes then content bytes.
func LegacyHash(dir string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", fmt.Errorf("hash of task %s: %w", dir, err)
	}
	defer root.Close()
	files, err := regularFiles(root, func(string, bool) bool { return true })
	if err != nil {
		return "", fmt.Errorf("hash of task %s: %w", dir, err)
	}
	slices.SortFunc(files, func(a, b string) int {
		return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
	})
	h := sha256.New()
	for _, rel := range files {
		io.WriteString(h, rel)
		if err := hashFile(h, root, rel); err != nil {
			return "", fmt.Errorf("hash of task %s: %w", dir, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// inDigest reports whether a path belongs to what Harbor's digest covers.
func inDigest(rel string) bool {
	first, _, below := strings.Cut(rel, "/")
	switch first {
	case EnvironmentDir, TestsDir, SolutionDir, StepsDir:
		return true
	case ConfigFile, InstructionFile, "README.md", "trajectory.json":
		return !below
	}
	return false
}

// readIgnore gives the patterns in force for a task.
func readIgnore(root *os.Root) (ignoreList, error) {
	data, err := root.ReadFile(".gitignore")
	if errors.Is(err, fs.ErrNotExist) {
		return parseIgnore(defaultIgnore), nil
	}
	if err != nil {
		return nil, err
	}
	return parseIgnore(string(data)), nil
}

// regularFiles lists the regular files below root, and the links to such, that want accepts. Folders
// that it does not accept are not entered, links to folders never.
func regularFiles(root *os.Root, want func(rel string, isDir bool) bool) ([]string, error) {
	var files []string
	err := fs.WalkDir(root.FS(), ".", func(rel string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case rel == ".":
			return nil
		case !want(rel, d.IsDir()):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.Type().IsRegular():
			files = append(files, rel)
		case d.Type()&fs.ModeSymlink != 0:
			info, err := root.Stat(rel)
			if errors.Is(err, fs.ErrNotExist) {
				return nil // leads nowhere
			}
			if err != nil {
				return fmt.Errorf("link %s: %w", rel, err)
			}
			if info.Mode().IsRegular() {
				files = append(files, rel)
			}
		}
		return nil
	})
	return files, err
}

func hashFile(h io.Writer, root *os.Root, rel string) error {
	f, err := root.Open(rel)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(h, f)
	return err
}
