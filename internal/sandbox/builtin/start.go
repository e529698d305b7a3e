//go:build linux && (amd64 || arm64)

package builtin

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"oddish/internal/sandbox"
)

// newPrefix marks folders that are being prepared; no id starts with it.
const newPrefix = ".new-"

// newID makes an id. All have one length: gVisor takes a prefix for the whole.
func newID() (string, error) {
	b := make([]byte, 10)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("make a sandbox id: %w", err)
	}
	return "b" + strings.ToLower(base32.StdEncoding.EncodeToString(b)), nil
}

// Start makes a sandbox. Only a few start at a time, whoever asks: starting takes
// processor time, and many at once are slower than one after the other.
func (p *Provider) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if err := p.refuse(spec); err != nil {
		return nil, err
	}
	if err := sandbox.Room(p.dir, p.minFree, "remove images with `oddish image prune --keep 20gb`, or make room otherwise"); err != nil {
		return nil, fmt.Errorf("start sandbox for %s: %w", spec.Name, err)
	}
	return p.startAnyhow(ctx, spec)
}

// startAnyhow starts a sandbox, however little room there is.
func (p *Provider) startAnyhow(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	id, err := newID()
	if err != nil {
		return nil, err
	}
	img, err := p.image(ctx, spec.Image, spec.BuildLog)
	if err != nil {
		return nil, err
	}
	rec, err := p.newRecord(id, spec, img)
	if err != nil {
		return nil, err
	}
	select {
	case p.starts <- struct{}{}:
		defer func() { <-p.starts }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s, err := p.start(ctx, id, rec)
	if err == nil {
		if err = s.runEntrypoint(ctx); err != nil {
			err = s.giveUp(ctx, err)
		}
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("start sandbox for %s: %w", spec.Name, err)
	}
	p.log.Debug("sandbox started", "sandbox", id, "name", spec.Name)
	return s, nil
}

func (p *Provider) start(ctx context.Context, id string, rec record) (*box, error) {
	dir, lock, err := p.prepare(id, rec)
	if err != nil {
		return nil, err
	}
	s := &box{dir: dir, rec: rec, log: p.log}
	ready, err := s.spawn(lock)
	lock.Close() // the shim has it now
	if err == nil {
		err = awaitReady(ctx, ready)
	}
	if err == nil {
		s.status, err = dir.readStatus()
	}
	if err != nil {
		return nil, s.giveUp(ctx, withLog(err, dir))
	}
	return s, nil
}

// giveUp removes a sandbox that could not be started because of err, and gives it.
func (s *box) giveUp(ctx context.Context, err error) error {
	// Not under ctx, which may be why.
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return errors.Join(err, s.remove(clean, false))
}

// prepare makes the state folder, whole and locked, under its final name.
func (p *Provider) prepare(id string, rec record) (stateDir, *os.File, error) {
	tmp := stateDir(filepath.Join(p.dir, preparing(id)))
	lock, err := tmp.fill(rec)
	if err == nil {
		err = os.Rename(string(tmp), string(p.state(id)))
	}
	if err != nil {
		if lock != nil {
			lock.Close()
		}
		return "", nil, errors.Join(fmt.Errorf("prepare the sandbox's folder: %w", err), os.RemoveAll(string(tmp)))
	}
	return p.state(id), lock, nil
}

func (d stateDir) fill(rec record) (*os.File, error) {
	for _, path := range []string{string(d), d.runsc(), d.bundle(), d.root(), d.scratch(), d.upper()} {
		if err := os.Mkdir(path, 0o700); err != nil {
			return nil, err
		}
	}
	if err := writeJSON(d.record(), rec); err != nil {
		return nil, err
	}
	return d.takeLock()
}

// spawn starts the shim process and returns the pipe on which it tells that it is ready.
func (s *box) spawn(lock *os.File) (*os.File, error) {
	log, err := os.OpenFile(s.dir.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	ready, readyShim, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer readyShim.Close()
	cmd := &exec.Cmd{
		Path:       "/proc/self/exe",
		Args:       []string{shimName, string(s.dir)},
		Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, // nothing of ours: keys are there
		Dir:        "/",
		Stdout:     log,
		Stderr:     log,
		ExtraFiles: []*os.File{lock, readyShim}, // shimLockFD, shimReadyFD
		SysProcAttr: &syscall.SysProcAttr{
			Setsid:     true, // not to be reached by a Ctrl-C for the worker
			Cloneflags: unix.CLONE_NEWNS,
		},
	}
	if os.Geteuid() != 0 {
		asNamespaceRoot(cmd.SysProcAttr)
	}
	if err := cmd.Start(); err != nil {
		ready.Close()
		return nil, fmt.Errorf("start the sandbox's shim: %w", explainClone(err))
	}
	reaped := make(chan struct{})
	s.reaped, s.shim = reaped, thisProc(cmd.Process.Pid)
	go func() {
		cmd.Wait() // how it ended is in its status file
		close(reaped)
	}()
	return ready, nil
}

// asNamespaceRoot makes the process root of a user namespace in which only this user exists.
func asNamespaceRoot(attr *syscall.SysProcAttr) {
	attr.Cloneflags |= unix.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
}

// awaitReady reads the shim's answer: that the sandbox runs, or why not.
func awaitReady(ctx context.Context, ready *os.File) error {
	defer ready.Close()
	stop := context.AfterFunc(ctx, func() { ready.SetReadDeadline(time.Now()) })
	defer stop()
	var answer reply
	err := json.NewDecoder(ready).Decode(&answer)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF):
		return errors.New("the sandbox's shim died before the sandbox ran")
	case err != nil:
		return fmt.Errorf("read the shim's answer: %w", err)
	case answer.Error != "":
		return errors.New(answer.Error)
	}
	return nil
}

// withLog adds the end of the shim's log, which disappears with the folder.
func withLog(err error, dir stateDir) error {
	const most = 2000
	b, readErr := os.ReadFile(dir.log())
	if readErr != nil || len(b) == 0 {
		return err
	}
	if len(b) > most {
		b = b[len(b)-most:]
	}
	return fmt.Errorf("%w\n%s", err, bytes.TrimSpace(b))
}
