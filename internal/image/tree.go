package image

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// copyTree makes dst a copy of the tree at src whose files are hard links to those of src, so that it takes hardly any room.
// Nobody may write to files of either. Only this process knows of dst.
func copyTree(dst, src string, owners bool) error {
	if err := os.Mkdir(dst, 0o700); err != nil {
		return err
	}
	var dirs []string // whose times are set last, since their content changes them
	err := filepath.WalkDir(src, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		to := filepath.Join(dst, rel)
		if !e.IsDir() {
			return link(path, to, e)
		}
		dirs = append(dirs, rel)
		if rel == "." {
			return nil
		}
		return os.Mkdir(to, 0o700)
	})
	if err != nil {
		return fmt.Errorf("copy the image below: %w", err)
	}
	for i := len(dirs) - 1; i >= 0; i-- {
		if err := likeDir(filepath.Join(dst, dirs[i]), filepath.Join(src, dirs[i]), owners); err != nil {
			return fmt.Errorf("copy the image below: %w", err)
		}
	}
	return nil
}

// link makes a hard link, or a copy where the file has as many links as it may have.
func link(from, to string, e fs.DirEntry) error {
	err := os.Link(from, to)
	if !errors.Is(err, unix.EMLINK) || !e.Type().IsRegular() {
		return err
	}
	return copyFile(from, to)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	if st, is := info.Sys().(*syscall.Stat_t); is && os.Geteuid() == 0 {
		if err := os.Chown(to, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	if err := os.Chmod(to, info.Mode()); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}

// likeDir gives a directory the owner, mode and time of another.
func likeDir(dir, model string, owners bool) error {
	info, err := os.Lstat(model)
	if err != nil {
		return err
	}
	if st, is := info.Sys().(*syscall.Stat_t); is && owners {
		if err := os.Chown(dir, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	if err := os.Chmod(dir, info.Mode()); err != nil {
		return err
	}
	return os.Chtimes(dir, info.ModTime(), info.ModTime())
}

// removeTree removes a tree whose directories may forbid it to their owner.
func removeTree(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, _ error) error {
		if e != nil && e.IsDir() {
			_ = os.Chmod(path, 0o700) // what this does not mend, the second try tells
		}
		return nil
	})
	return os.RemoveAll(dir)
}
