//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/runsc/container"

	"oddish/internal/imagebuild"
	"oddish/internal/sandbox"
	"oddish/internal/sandbox/builtin/rootfs"
	"oddish/internal/sandbox/netpeer"
)

// File descriptors that a shim is started with, besides its log as stderr.
const (
	shimLockFD  = 3 // held, never used: see stateDir.takeLock
	shimReadyFD = 4 // takes one reply once the sandbox runs or can't
)

const bash = "/bin/bash"

// shim is the process that holds one sandbox: parent of gVisor's processes, which
// die with it, and the far end of the sandbox's network. It outlives the worker.
type shim struct {
	dir  stateDir
	rec  record
	log  *slog.Logger
	link *os.File // this end of the network link; owned here, used by peer
	peer *netpeer.Peer

	container *container.Container
	listener  net.Listener
	ended     chan string   // gets how the sandbox ended by itself
	stop      chan struct{} // closed when a worker asked for the end
	status    status
}

// shimMain is the shim process. args is the state folder.
func shimMain(args []string) int {
	logFile := os.Stderr
	log := slog.New(slog.NewTextHandler(logFile, nil))
	if len(args) != 1 {
		log.Error("a shim is started by a worker, not by hand")
		return 2
	}
	ready := os.NewFile(shimReadyFD, "ready")
	for _, fd := range []int{shimLockFD, shimReadyFD} {
		unix.CloseOnExec(fd)
	}
	// What is left of these signals belongs to whoever started the worker.
	signal.Ignore(unix.SIGHUP, unix.SIGPIPE, unix.SIGINT)
	s := &shim{
		dir: stateDir(args[0]), log: log,
		ended: make(chan string, 1), stop: make(chan struct{}),
	}
	if err := s.start(); err != nil {
		s.destroy()
		json.NewEncoder(ready).Encode(reply{Error: err.Error()})
		log.Error("sandbox not started", "error", err)
		return 1
	}
	if err := json.NewEncoder(ready).Encode(reply{}); err != nil {
		log.Warn("the worker is gone, so nobody knows this sandbox", "error", err)
		s.destroy()
		return 1
	}
	ready.Close()
	s.serve()
	return 0
}

// start builds the root, starts gVisor in it and opens the control socket.
func (s *shim) start() error {
	if err := detachStdio(); err != nil {
		return err
	}
	var err error
	if s.rec, err = s.dir.readRecord(); err != nil {
		return fmt.Errorf("read what to start: %w", err)
	}
	shell, err := s.buildRoot()
	if err != nil {
		return err
	}
	if err := s.startContainer(); err != nil {
		return err
	}
	s.status = status{
		Phase:  running,
		Shell:  shell,
		Shim:   thisProc(os.Getpid()),
		Sentry: thisProc(s.container.Sandbox.Getpid()),
		Gofer:  thisProc(s.container.GoferPid.Load()),
	}
	if err := writeJSON(s.dir.status(), s.status); err != nil {
		return fmt.Errorf("write the sandbox's status: %w", err)
	}
	go s.watch()
	return s.listen()
}

// detachStdio gives the sandbox's first process /dev/null instead of this
// process's files: it would be a way to write to this machine's disk without limit.
func detachStdio() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	os.Stdin, os.Stdout, os.Stderr = null, null, null
	return nil
}

// buildRoot makes the root directory in this process's own mount namespace, and
// returns the shell that is in it.
func (s *shim) buildRoot() (shell string, err error) {
	var plan rootfs.Plan
	if s.rec.Root != "" {
		plan, err = rootfs.Image(s.rec.Root, s.rec.Hostname, netpeer.Gateway().String())
	} else {
		plan, err = rootfs.Host(rootfs.HostOptions{
			Hide:       s.rec.Hide,
			Workdir:    s.rec.Workdir,
			Hostname:   s.rec.Hostname,
			NameServer: netpeer.Gateway().String(),
		})
	}
	if err != nil {
		return "", fmt.Errorf("plan the root file system: %w", err)
	}
	program, err := initProgram()
	if err != nil {
		return "", err
	}
	plan.Files = append(plan.Files, rootfs.File{Path: initPath, Mode: 0o555, Content: program})
	// Made here, the supervisor of long commands need not make it by a command.
	plan.Dirs = append(plan.Dirs, rootfs.Dir{Path: sandbox.RunDir, Mode: fs.ModeSticky | 0o777})
	if s.rec.Programs != "" { // the mount's place must be there: nobody can make it in a root that is read-only
		plan.Dirs = append(plan.Dirs, rootfs.Dir{Path: sandbox.ProgramsDir, Mode: 0o755})
	}
	for _, m := range s.rec.Mounts {
		if strings.HasPrefix(m.Target, imagebuild.ScratchDir+"/") {
			plan.Dirs = append(plan.Dirs, rootfs.Dir{Path: m.Target, Mode: 0o755})
		}
	}
	if err := rootfs.Isolate(); err != nil {
		return "", err
	}
	if err := plan.Mount(s.dir.root(), s.dir.scratch()); err != nil {
		return "", fmt.Errorf("build the root file system: %w", err)
	}
	for _, shell := range []string{bash, "/bin/sh"} {
		if plan.HasFile(shell) {
			return shell, nil
		}
	}
	return "", errors.New("the image has no shell (/bin/bash or /bin/sh), which commands are run by")
}

// watch waits for the end of the sandbox, whoever brought it about.
func (s *shim) watch() {
	ws, err := s.container.Wait()
	switch {
	case err != nil:
		s.ended <- err.Error()
	case ws.Signaled():
		s.ended <- fmt.Sprintf("the sandbox was killed by signal %d (%s)", int(ws.Signal()), ws.Signal())
	default:
		s.ended <- fmt.Sprintf("the sandbox's first process ended with status %d", ws.ExitStatus())
	}
}

// serve holds the sandbox until it ends or is asked to.
func (s *shim) serve() {
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, unix.SIGTERM)
	select {
	case <-s.orphaned():
		s.status.Detail = "the process that started it is gone"
		s.destroy()
	case how := <-s.ended:
		s.status.OutOfMemory = oomKills(s.rec.Cgroup) > 0
		s.status.MemoryPeak = memoryPeak(s.rec.Cgroup) // the group goes with the sandbox
		s.status.Detail = how
		s.log.Error("sandbox ended by itself", "how", how, "out_of_memory", s.status.OutOfMemory)
		s.destroy()
	case <-terminate:
		s.status.Detail = "the shim was asked to end by a signal"
		s.destroy()
	case <-s.stop:
		s.status.Detail = "stopped"
		s.destroy()
	}
	s.status.Phase = ended
	err := writeJSON(s.dir.status(), s.status)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Error("status not written", "error", err)
	}
}

// orphanPoll is how often the shim of a sandbox that is tied to its maker looks whether that is there.
const orphanPoll = time.Second

// orphaned is closed when the process that started a tied sandbox is gone.
func (s *shim) orphaned() <-chan struct{} {
	if !s.rec.Tied {
		return nil
	}
	gone, maker := make(chan struct{}), os.Getppid()
	go func() {
		tick := time.NewTicker(orphanPoll)
		defer tick.Stop()
		for os.Getppid() == maker {
			<-tick.C
		}
		close(gone)
	}()
	return gone
}

// destroy ends everything that start began. It can be called at any stage of it.
func (s *shim) destroy() {
	if s.peer != nil {
		s.peer.Close()
	}
	if s.container == nil {
		return
	}
	if pid := s.container.Sandbox.Getpid(); pid > 0 && s.status.Phase == running {
		// The watcher waits for the process; killing it there would mean waiting twice.
		unix.Kill(pid, unix.SIGKILL)
		select {
		case <-s.ended:
		case <-time.After(shimGrace):
			s.log.Error("the sandbox does not die")
		}
	}
	if err := s.container.Destroy(); err != nil {
		s.log.Error("sandbox not removed completely", "error", err)
	}
	s.container = nil
}

// listen opens the control socket.
func (s *shim) listen() error {
	path, done, err := viaFD(string(s.dir), controlSocket)
	if err != nil {
		return fmt.Errorf("open the control socket: %w", err)
	}
	defer done()
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return fmt.Errorf("open the control socket: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // the path will not be valid then
	s.listener = l
	go s.accept()
	return nil
}
