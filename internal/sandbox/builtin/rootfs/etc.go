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

// maxEtcFile bounds the files of /etc that are copied, in bytes. Larger ones (indexes that some program keeps) are left out.
const maxEtcFile = 2 << 20

// etcOmitted are entries of /etc that are left out although everybody may read
// some of them: keys, rights and identity of this machine.
func etcOmitted(name string) bool {
	switch name {
	case "ssh", "sudoers", "sudoers.d", "krb5.keytab", "polkit-1", "docker", "containerd", "kubernetes", "cni",
		"cron.d", "cron.daily", "cron.hourly", "cron.monthly", "cron.weekly", "crontab", "fstab", "crypttab",
		"machine-id", "hostname", "hosts", "resolv.conf", ".pwd.lock", "subuid", "subgid":
		return true
	}
	base := strings.TrimSuffix(name, "-")
	switch base {
	case "passwd", "group", "shadow", "gshadow", "subuid", "subgid":
		return true // passwd and group are generated, the rest is nobody's business
	}
	return false
}

// addEtc plans /etc: small files of the top level are copied, directories are
// bound, and whatever not everybody may read is left out or covered.
func (p *Plan) addEtc(o HostOptions, hide []string) error {
	entries, err := os.ReadDir("/etc")
	if err != nil {
		return fmt.Errorf("look at this machine's settings: %w", err)
	}
	for _, e := range entries {
		path := "/etc/" + e.Name()
		if etcOmitted(e.Name()) || slices.Contains(hide, path) {
			continue
		}
		info, err := e.Info()
		if err != nil || !forEverybody(info) {
			continue // gone, or not for us
		}
		if err := p.addEtcEntry(path, info); err != nil {
			return err
		}
	}
	mounts, err := mountPoints()
	if err != nil {
		return err
	}
	for _, m := range append(mounts, hide...) {
		// Something mounted there (a container engine's secrets) was not put
		// there by this machine's packages.
		if filepath.Dir(m) != "/etc" && within(m, "/etc") && p.below(m) {
			p.coverIfPresent(m)
		}
	}
	return p.addAccounts(o)
}

func (p *Plan) addEtcEntry(path string, info fs.FileInfo) error {
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		if to, err := os.Readlink(path); err == nil {
			p.Links = append(p.Links, Link{Target: path, To: to})
		}
	case info.IsDir():
		p.Binds = append(p.Binds, Bind{Source: path, Target: path})
		return p.coverPrivate(path)
	case info.Size() <= maxEtcFile:
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("copy this machine's settings: %w", err)
		}
		p.Files = append(p.Files, File{Path: path, Mode: info.Mode().Perm(), Content: content})
	}
	return nil
}

// coverPrivate covers everything below dir that not everybody may read.
func (p *Plan) coverPrivate(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
				return nil
			}
			return fmt.Errorf("look at this machine's settings: %w", err)
		}
		if path == dir || e.Type()&fs.ModeSymlink != 0 {
			return nil
		}
		info, err := e.Info()
		if err != nil || forEverybody(info) {
			return nil
		}
		p.Covers = append(p.Covers, Cover{Path: path, Dir: info.IsDir()})
		if info.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
}

// mountPoints lists what is mounted in this namespace.
func mountPoints() ([]string, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 4 {
			out = append(out, unescape(f[4]))
		}
	}
	return out, nil
}

// unescape undoes the kernel's octal escapes in mount points.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
