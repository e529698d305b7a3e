//go:build linux && (amd64 || arm64)

package rootfs

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func hostPlan(t *testing.T, o HostOptions) Plan {
	t.Helper()
	p, err := Host(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestHostPlanShowsProgramsAndNoSecrets(t *testing.T) {
	t.Parallel()
	p := hostPlan(t, HostOptions{Workdir: "/app/x", Hostname: "box", NameServer: "10.77.0.1"})
	if !p.HasFile("/bin/sh") || p.HasFile("/bin/no-such-program") || p.HasFile("/proc/self/stat") {
		t.Error("HasFile is wrong")
	}
	for _, b := range p.Binds {
		top, _, _ := strings.Cut(strings.TrimPrefix(b.Target, "/"), "/")
		if !slices.Contains([]string{"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "opt", "nix", "etc"}, top) || b.Target == "/etc" {
			t.Errorf("bind of %s", b.Source)
		}
	}
	for _, f := range p.Files {
		if info, err := os.Stat(f.Path); err == nil && !forEverybody(info) && f.Path != "/etc/shadow" && f.Path != "/etc/gshadow" {
			t.Errorf("%s, which not everybody may read, is in the plan", f.Path)
		}
		if f.Path == "/etc/shadow" && strings.Contains(strings.ReplaceAll(string(f.Content), ":*:", ""), "$") {
			t.Error("there is a password hash in the plan")
		}
		if f.Path == "/etc/resolv.conf" && string(f.Content) != "nameserver 10.77.0.1\n" {
			t.Errorf("resolv.conf: %q", f.Content)
		}
	}
	if !slices.ContainsFunc(p.Dirs, func(d Dir) bool { return d.Path == "/app/x" }) {
		t.Error("the working directory is not made")
	}
}

func TestEverythingPrivateBelowEtcIsCovered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, mode := range map[string]fs.FileMode{"open": 0o644, "private": 0o640, "closed/inside": 0o644, "deep/er/private": 0o600} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "closed"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/shadow", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	var p Plan
	if err := p.coverPrivate(dir); err != nil {
		t.Fatal(err)
	}
	want := []Cover{{filepath.Join(dir, "closed"), true}, {filepath.Join(dir, "deep/er/private"), false}, {filepath.Join(dir, "private"), false}}
	if !slices.Equal(p.Covers, want) {
		t.Errorf("covers %v, want %v", p.Covers, want)
	}
}

func TestHide(t *testing.T) {
	t.Parallel()
	p := hostPlan(t, HostOptions{Workdir: "/app", Hide: []string{"/usr/share", "/usr", "/etc/alternatives", "/no/such"}})
	if slices.ContainsFunc(p.Binds, func(b Bind) bool { return b.Source == "/usr" }) {
		t.Error("/usr is bound although it is to be hidden")
	}
	p = hostPlan(t, HostOptions{Workdir: "/app", Hide: []string{"/usr/share", "/etc/alternatives"}})
	if !slices.Contains(p.Covers, Cover{"/usr/share", true}) {
		t.Errorf("/usr/share is not covered: %v", p.Covers)
	}
	if slices.ContainsFunc(p.Binds, func(b Bind) bool { return b.Source == "/etc/alternatives" }) {
		t.Error("/etc/alternatives is bound although it is to be hidden")
	}
}

func TestSystemEntries(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "passwd")
	content := "root:$6$hash:0:0:root:/root:/bin/bash\nbroken\nann:x:1000:1000::/home/ann:/bin/sh\nnobody:x:65534:65534::/:/bin/false\nx:x:y:0:::\n"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	entries, err := systemEntries(path, 7)
	if err != nil {
		t.Fatal(err)
	}
	want := "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n"
	if got := joinEntries(entries); got != want {
		t.Errorf("got %q", got)
	}
}

func TestWithin(t *testing.T) {
	t.Parallel()
	for path, in := range map[string]bool{"/usr": true, "/usr/x": true, "/usrx": false, "/": false, "/opt/usr": false} {
		if within(path, "/usr") != in {
			t.Errorf("%s", path)
		}
	}
}

func TestUnescape(t *testing.T) {
	t.Parallel()
	if got := unescape(`/a\040b\134c`); got != `/a b\c` {
		t.Errorf("got %q", got)
	}
}
