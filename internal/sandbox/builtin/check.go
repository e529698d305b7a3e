//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"oddish/internal/sandbox"
)

// checkTimeout bounds the probe, which takes a quarter of a second where it works.
const checkTimeout = 30 * time.Second

// probed remembers a probe that went well: it need not be repeated until the machine
// or the program changes.
type probed struct {
	Boot    string `json:"boot"`
	User    int    `json:"user"`
	Program string `json:"program"`
}

// Check starts a sandbox, runs a command in it and stops it. Success is remembered
// in the provider's directory until the machine is started again.
func (p *Provider) Check(ctx context.Context) error {
	if err := CheckProgram(); err != nil {
		return err
	}
	file := filepath.Join(p.dir, "probe.json")
	now := probed{Boot: bootID(), User: os.Geteuid(), Program: programID()}
	var last probed
	if readJSON(file, &last) == nil && last == now && now.Boot != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if err := p.probe(ctx); err != nil {
		return fmt.Errorf("this machine cannot run builtin sandboxes: %w", err)
	}
	if err := writeJSON(file, now); err != nil {
		return fmt.Errorf("remember the check of the builtin sandbox: %w", err)
	}
	return nil
}

// CheckProgram says why this program cannot be gVisor's: it executes itself in an
// empty root directory, where a dynamically linked program finds no loader.
func CheckProgram() error {
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("look at this program: %w", err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("this program was built with cgo and is linked dynamically, so it cannot run builtin sandboxes: "+
				"build it with CGO_ENABLED=0, or use docker (--env docker): %w", sandbox.ErrUnsupported)
		}
	}
	return nil
}

func (p *Provider) probe(ctx context.Context) error {
	s, err := p.startAnyhow(ctx, sandbox.Spec{ // want of room passes
		Name:    "probe",
		Image:   sandbox.Image{Host: true},
		Network: sandbox.Network{Mode: sandbox.NetworkNone},
	})
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no sandbox within %s: use docker (--env docker): %w", checkTimeout, err)
		}
		return err
	}
	code, err := s.Exec(ctx, sandbox.Command{Label: "probe", Script: "exit 7"})
	if err == nil && code != 7 {
		err = fmt.Errorf("a command that exits with 7 gave %d", code)
	}
	return errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
}

// explainClone adds the remedy to the refusal of a user namespace.
func explainClone(err error) error {
	if os.Geteuid() == 0 || !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EACCES) {
		return err
	}
	hint := "allow them with sysctl -w user.max_user_namespaces=10000"
	for name, text := range map[string]string{
		"kernel/apparmor_restrict_unprivileged_userns": "allow them with sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
		"kernel/unprivileged_userns_clone":             "allow them with sysctl -w kernel.unprivileged_userns_clone=1",
	} {
		b, readErr := os.ReadFile("/proc/sys/" + name)
		restricts := strings.Contains(name, "restrict")
		if value := strings.TrimSpace(string(b)); readErr == nil && (restricts && value == "1" || !restricts && value == "0") {
			hint = text
		}
	}
	return fmt.Errorf("this user may not make user namespaces: %s, run as root, or use docker (--env docker): %w", hint, err)
}

func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// programID tells builds of this program apart, as well as can be done without reading all of it.
func programID() string {
	id := ""
	if info, err := os.Stat("/proc/self/exe"); err == nil {
		id = fmt.Sprintf("%d-%d", info.Size(), info.ModTime().UnixNano())
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		id += "-" + build.Main.Version
	}
	return id
}
