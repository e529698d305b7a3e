//go:build linux && (amd64 || arm64)

package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Isolate keeps the mounts of this process's namespace from spreading to any
// other. The process must have been started in a mount namespace of its own.
func Isolate() error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	return nil
}

// Mount builds the plan at the existing directory target. scratch is an existing directory,
// outside target, for the few files that covers are made of. All of it disappears
// with the mount namespace.
func (p Plan) Mount(target, scratch string) error {
	if p.Base == "" {
		return p.mountParts(target, scratch)
	}
	parts := filepath.Join(scratch, "parts")
	if err := os.Mkdir(parts, 0o700); err != nil {
		return fmt.Errorf("prepare the root: %w", err)
	}
	if err := p.mountParts(parts, scratch); err != nil {
		return err
	}
	return mountOver(parts, p.Base, target)
}

// mountOver shows one directory over another at target, read-only.
func mountOver(upper, lower, target string) error {
	escape := strings.NewReplacer(`\`, `\\`, ":", `\:`, ",", `\,`)
	options := "lowerdir=" + escape.Replace(upper) + ":" + escape.Replace(lower)
	if err := unix.Mount("oddish-root", target, "overlay", unix.MS_RDONLY|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("show the image (the machine's kernel must have overlay file systems, and let this user mount them): %w", err)
	}
	return nil
}

// mountParts builds the parts of the plan that lie over its base.
func (p Plan) mountParts(target, scratch string) error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV
	if err := unix.Mount("oddish-root", target, "tmpfs", flags, "mode=0755,size=64m"); err != nil {
		return fmt.Errorf("mount an empty root at %s: %w", target, err)
	}
	for _, d := range p.Dirs {
		if err := makeDir(filepath.Join(target, d.Path), d.Mode); err != nil {
			return err
		}
	}
	for _, l := range p.Links {
		if err := os.Symlink(l.To, filepath.Join(target, l.Target)); err != nil {
			return fmt.Errorf("link in the root: %w", err)
		}
	}
	for _, f := range p.Files {
		if err := makeFile(filepath.Join(target, f.Path), f); err != nil {
			return err
		}
	}
	for _, b := range p.Binds {
		if err := bindReadOnly(b.Source, filepath.Join(target, b.Target)); err != nil {
			return err
		}
	}
	return p.cover(target, scratch)
}

// makeDir makes a directory, with its parents if they are missing.
func makeDir(path string, mode fs.FileMode) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("directory in the root: %w", err)
	}
	// Not through the mode of mkdir, which the umask cuts.
	if err := os.Chmod(path, mode); err != nil {
		return fmt.Errorf("directory in the root: %w", err)
	}
	return nil
}

func makeFile(path string, f File) error {
	if err := os.WriteFile(path, f.Content, 0o600); err != nil {
		return fmt.Errorf("file in the root: %w", err)
	}
	if err := os.Chmod(path, f.Mode); err != nil {
		return fmt.Errorf("file in the root: %w", err)
	}
	return nil
}

// bindReadOnly shows source at target, which it makes. In a user namespace everything
// mounted below source must come along: it is locked to it.
func bindReadOnly(source, target string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return fmt.Errorf("mount point for %s: %w", source, err)
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s: %w", source, err)
	}
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	err := unix.MountSetattr(unix.AT_FDCWD, target, unix.AT_RECURSIVE, attr)
	if errors.Is(err, unix.ENOSYS) {
		err = remountReadOnly(target) // Linux before 5.12
	}
	if err != nil {
		return fmt.Errorf("make the bind of %s read-only: %w", source, err)
	}
	return nil
}

// remountReadOnly repeats the flags that the mount has: in a user namespace they
// are locked, and a remount without them fails.
func remountReadOnly(target string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(target, &st); err != nil {
		return err
	}
	keep := uintptr(st.Flags) & (unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_RELATIME)
	flags := keep | unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV
	return unix.Mount("", target, "", flags, "")
}

// cover mounts an empty file or directory over everything that the plan hides.
func (p Plan) cover(target, scratch string) error {
	if len(p.Covers) == 0 {
		return nil
	}
	emptyDir, emptyFile := filepath.Join(scratch, "dir"), filepath.Join(scratch, "file")
	if err := os.Mkdir(emptyDir, 0o555); err != nil {
		return fmt.Errorf("prepare covers: %w", err)
	}
	if err := os.WriteFile(emptyFile, nil, 0o444); err != nil {
		return fmt.Errorf("prepare covers: %w", err)
	}
	for _, c := range p.Covers {
		source := emptyFile
		if c.Dir {
			source = emptyDir
		}
		err := unix.Mount(source, filepath.Join(target, c.Path), "", unix.MS_BIND, "")
		if err != nil && !errors.Is(err, unix.ENOENT) { // gone since the plan was made
			return fmt.Errorf("hide %s: %w", c.Path, err)
		}
	}
	return nil
}
