//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gvisor.dev/gvisor/pkg/sentry/control"
	"gvisor.dev/gvisor/pkg/sentry/kernel/auth"
	"gvisor.dev/gvisor/pkg/urpc"
)

// noAccountError: the sandbox has no user, or no group, of that name.
type noAccountError struct{ kind, name string }

func (e *noAccountError) Error() string {
	return fmt.Sprintf("the sandbox has no %s %q", e.kind, e.name)
}

// user is who a command runs as.
type user struct {
	uid, gid uint32
	groups   []auth.KGID
	home     string
}

func root() user { return user{home: "/root"} }

func rootCapabilities() *specs.LinuxCapabilities {
	caps := capabilities()
	return &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
}

// lookUp finds a user of the sandbox by name or number, as container engines do: a number
// need not be in passwd. It is read each time, since a command may have made the user just now.
func (s *box) lookUp(ctx context.Context, name string) (user, error) {
	name, of, _ := strings.Cut(name, ":")
	if (name == "" || name == "root" || name == "0") && of == "" {
		return root(), nil
	}
	passwd, err := s.readFile(ctx, "/etc/passwd")
	if err != nil {
		return user{}, fmt.Errorf("look up user %q: %w", name, err)
	}
	u, login, err := findUser(name, passwd)
	if err != nil || login == "" && of == "" {
		return u, err
	}
	group, err := s.readFile(ctx, "/etc/group")
	if err != nil {
		return user{}, fmt.Errorf("look up groups of user %q: %w", name, err)
	}
	if of != "" {
		u.gid, err = findGroup(of, group)
		return u, err
	}
	u.groups = memberships(login, group)
	return u, nil
}

// findGroup searches the file of groups for a name; a number need not be in it.
func findGroup(name, group string) (uint32, error) {
	if gid, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(gid), nil
	}
	for line := range strings.Lines(group) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 3 || f[0] != name {
			continue
		}
		if gid, err := strconv.ParseUint(f[2], 10, 32); err == nil {
			return uint32(gid), nil
		}
	}
	return 0, &noAccountError{"group", name}
}

// findUser searches passwd for a login name or a number. login is empty for a number without an entry.
func findUser(name, passwd string) (u user, login string, err error) {
	number, numErr := strconv.ParseUint(name, 10, 32)
	for line := range strings.Lines(passwd) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 6 {
			continue
		}
		uid, err1 := strconv.ParseUint(f[2], 10, 32)
		gid, err2 := strconv.ParseUint(f[3], 10, 32)
		if err1 != nil || err2 != nil {
			continue
		}
		if f[0] == name || numErr == nil && uid == number {
			home := f[5]
			if home == "" {
				home = "/"
			}
			return user{uid: uint32(uid), gid: uint32(gid), home: home}, f[0], nil
		}
	}
	if numErr == nil {
		return user{uid: uint32(number), home: "/"}, "", nil
	}
	return user{}, "", &noAccountError{"user", name}
}

// memberships lists the groups that name the login as a member.
func memberships(login, group string) []auth.KGID {
	var out []auth.KGID
	for line := range strings.Lines(group) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 || !slices.Contains(strings.Split(f[3], ","), login) {
			continue
		}
		if gid, err := strconv.ParseUint(f[2], 10, 32); err == nil {
			out = append(out, auth.KGID(gid))
		}
	}
	return out
}

// maxAccountFile bounds passwd and group, in bytes; an agent may write anything there.
const maxAccountFile = 1 << 20

// readFile reads a small file of the sandbox through its kernel, without a process.
func (s *box) readFile(ctx context.Context, path string) (string, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	type content struct {
		b   []byte
		err error
	}
	got := make(chan content, 1)
	go func() {
		b, err := io.ReadAll(io.LimitReader(r, maxAccountFile+1))
		r.Close() // ends the writer of an endless file
		got <- content{b, err}
	}()
	err = s.call(ctx, "Fs.Cat", &control.CatOpts{
		Files:       []string{path},
		FilePayload: urpc.FilePayload{Files: []*os.File{w}},
	}, nil)
	w.Close()
	c := <-got
	switch {
	case len(c.b) > maxAccountFile:
		return "", fmt.Errorf("%s is larger than %d bytes", path, maxAccountFile)
	case errors.Is(err, errRemote), err == nil && c.err == nil:
		return string(c.b), wrapRead(path, err)
	case err != nil && ctx.Err() == nil:
		return "", s.death(ctx, err)
	}
	return "", errors.Join(err, c.err)
}

func wrapRead(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("read %s: %w", path, err)
}
