package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// maxLinks bounds the links on the way to a path, as Linux does.
const maxLinks = 40

// errLoop is what paths with too many links end in.
var errLoop = errors.New("too many links on the way")

// folder gives the directory that a path of the image means once all its links are followed, as they would be inside it. What is missing is
// made; a file on the way is replaced.
func (l *layer) folder(name string) (string, error) {
	done, err := walk(l.root, name, func(at string) error {
		if err := l.remove(at); err != nil {
			return err
		}
		l.mine[at] = true
		return l.root.Mkdir(at, 0o755)
	})
	if err != nil {
		return "", fmt.Errorf("find the folder %s: %w", name, err)
	}
	return done, nil
}

// walk follows the path step by step within the root. make is called for what is there and no directory, or not there.
func walk(root *os.Root, name string, missing func(at string) error) (string, error) {
	at, rest, links := ".", name, 0
	for rest != "" && rest != "." {
		step, after, _ := strings.Cut(rest, "/")
		rest = after
		switch step {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at) // of "." it is "."
			continue
		}
		next := path.Join(at, step)
		info, err := root.Lstat(next)
		switch {
		case err == nil && info.Mode()&fs.ModeSymlink != 0:
			if links++; links > maxLinks {
				return "", errLoop
			}
			to, err := root.Readlink(next)
			if err != nil {
				return "", err
			}
			if path.IsAbs(to) {
				at = "."
			}
			rest = strings.TrimPrefix(to, "/") + "/" + rest
			continue
		case err == nil && info.IsDir():
		case err == nil || errors.Is(err, fs.ErrNotExist):
			if err := missing(next); err != nil {
				return "", err
			}
		default:
			return "", err
		}
		at = next
	}
	return at, nil
}

// Resolve gives where a path of the image leads, relative to its root, links followed within it. That it does not lead to anything
// is fs.ErrNotExist.
func Resolve(root, name string) (string, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return "", err
	}
	defer r.Close()
	return walk(r, strings.TrimPrefix(path.Clean("/"+name), "/"), func(at string) error {
		if _, err := r.Lstat(at); err == nil {
			return nil // a file, which ends the way
		}
		return fs.ErrNotExist
	})
}
