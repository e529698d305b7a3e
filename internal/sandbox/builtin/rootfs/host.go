//go:build linux && (amd64 || arm64)

package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// HostOptions of a root made of this machine's own tools.
type HostOptions struct {
	// Hide lists directories of this machine that must not be seen even where a
	// bind would show them: the data directory, the user's home.
	Hide []string
	// Workdir is made if nothing else makes it.
	Workdir string
	// Hostname of the sandbox.
	Hostname string
	// NameServer for /etc/resolv.conf; empty: the file is empty.
	NameServer string
}

// Host plans a root in which this machine's programs run: /usr, /opt and what /etc has for
// everybody. Homes, /var, /run, /srv and every file that only root may read are left out.
func Host(o HostOptions) (Plan, error) {
	var p Plan
	p.Dirs = skeleton()
	p.Links = []Link{{"/var/run", "/run"}, {"/var/lock", "/run/lock"}}
	hide := resolved(o.Hide)
	for _, name := range []string{"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "opt", "nix/store"} {
		if err := p.addTop("/"+name, hide); err != nil {
			return Plan{}, err
		}
	}
	if err := p.addEtc(o, hide); err != nil {
		return Plan{}, err
	}
	p.addOpt()
	p.addWorkdir(o.Workdir)
	return p, nil
}

// HasFile says whether the plan has that absolute path from this machine, so
// that it can be asked before anything is mounted.
func (p Plan) HasFile(path string) bool {
	if p.Base != "" {
		return inImage(p.Base, path)
	}
	_, err := os.Stat(path)
	return err == nil && p.below(path)
}

// below says whether the path is inside a bind, by its own name or through a link at the top (/bin).
func (p Plan) below(path string) bool {
	top := "/" + strings.SplitN(strings.TrimPrefix(path, "/"), "/", 2)[0]
	for _, l := range p.Links {
		if l.Target == top {
			return true
		}
	}
	return slices.ContainsFunc(p.Binds, func(b Bind) bool { return within(path, b.Target) })
}

// skeleton is what a machine has besides programs, empty.
func skeleton() []Dir {
	dirs := []Dir{
		{"/tmp", fs.ModeSticky | 0o777},
		// gVisor covers an empty /tmp with a file system in memory, which would
		// be outside the storage limit.
		{"/tmp/.X11-unix", fs.ModeSticky | 0o777},
		{"/root", 0o700},
		{"/run/lock", fs.ModeSticky | 0o777},
		{"/var/tmp", fs.ModeSticky | 0o777},
		{"/etc", 0o755},
		{"/logs", 0o777},
		{"/logs/agent", 0o777},
		{"/logs/verifier", 0o777},
		{"/logs/artifacts", 0o777},
	}
	for _, plain := range []string{
		"/dev", "/proc", "/sys", "/home", "/media", "/mnt", "/srv", "/boot",
		"/var/backups", "/var/cache", "/var/lib", "/var/lib/misc", "/var/local", "/var/log", "/var/mail", "/var/opt", "/var/spool",
	} {
		dirs = append(dirs, Dir{plain, 0o755})
	}
	return dirs
}

// addTop adds one of the directories that hold programs: a bind, or a link on a
// machine that has merged it into /usr.
func (p *Plan) addTop(path string, hide []string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look at this machine's directories: %w", err)
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(path)
		if err != nil {
			return fmt.Errorf("look at this machine's directories: %w", err)
		}
		p.Links = append(p.Links, Link{Target: path, To: to})
		return nil
	case !info.IsDir() || slices.Contains(hide, path):
		return nil
	}
	p.Binds = append(p.Binds, Bind{Source: path, Target: path})
	for _, h := range hide {
		if h != path && within(h, path) {
			p.coverIfPresent(h)
		}
	}
	return nil
}

// addOpt covers what in /opt is not meant for everybody. Programs there are
// installed by hand, with their settings beside them.
func (p *Plan) addOpt() {
	entries, err := os.ReadDir("/opt")
	if err != nil || !p.below("/opt") {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && !forEverybody(info) {
			p.Covers = append(p.Covers, Cover{Path: "/opt/" + e.Name(), Dir: info.IsDir()})
		}
	}
}

func (p *Plan) addWorkdir(dir string) {
	dir = filepath.Clean("/" + dir)
	if p.below(dir) || slices.ContainsFunc(p.Dirs, func(d Dir) bool { return d.Path == dir }) {
		return
	}
	p.Dirs = append(p.Dirs, Dir{dir, 0o755})
}

func (p *Plan) coverIfPresent(path string) {
	if info, err := os.Lstat(path); err == nil {
		p.Covers = append(p.Covers, Cover{Path: path, Dir: info.IsDir()})
	}
}

// forEverybody says whether every user of this machine may read it.
func forEverybody(info fs.FileInfo) bool {
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return true // what it points to is looked at where it is
	case info.IsDir():
		return info.Mode().Perm()&0o005 == 0o005
	}
	return info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0
}

// resolved gives the paths with their links followed, as mounts see them.
func resolved(paths []string) []string {
	var out []string
	for _, path := range paths {
		abs, err := filepath.Abs(path)
		if err != nil {
			continue
		}
		out = append(out, abs)
		if real, err := filepath.EvalSymlinks(abs); err == nil && real != abs {
			out = append(out, real)
		}
	}
	return out
}

// within says whether path is dir or below it.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
