package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// member is a server or worker of the installation: one process after the other with the same command, environment and folder.
type member struct {
	name string
	args []string
	vars []string
	log  string // file to which all its processes append

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{} // closed when cmd has been waited for
	busy  bool          // something is being done to it
	lives []*life
}

// life is one process of a member.
type life struct {
	pid     int
	began   time.Time
	killed  time.Time // when it was sent SIGKILL; zero: it was not
	resumed time.Time // when it was last sent SIGCONT; zero: never stopped
}

func (m *member) start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	log, err := os.OpenFile(m.log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(program, m.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.Dir = m.vars, log, log, filepath.Dir(m.log)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", m.name, err)
	}
	m.cmd, m.ended = cmd, make(chan struct{})
	m.lives = append(m.lives, &life{pid: cmd.Process.Pid, began: time.Now()})
	go func(ended chan struct{}) {
		_ = cmd.Wait()
		close(ended)
	}(m.ended)
	return nil
}

// take reserves the member for something to be done to it; false if that is under way already.
func (m *member) take() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.busy || m.cmd == nil {
		return false
	}
	m.busy = true
	return true
}

func (m *member) give() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.busy = false
}

// alive reports whether the present process has not ended.
func (m *member) alive() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		return false
	}
	select {
	case <-m.ended:
		return false
	default:
		return true
	}
}

// kill ends the process with SIGKILL and waits for its end, so that whatever of it is seen later happened before.
func (m *member) kill() {
	m.mu.Lock()
	cmd, ended := m.cmd, m.ended
	m.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Kill()
	<-ended
	m.mark(func(l *life) { l.killed = time.Now() })
}

func (m *member) signal(s syscall.Signal) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cmd.Process.Signal(s)
}

func (m *member) mark(f func(*life)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m.lives[len(m.lives)-1])
}

// drain asks the process to end and waits until it has.
func (m *member) drain(patience time.Duration) error {
	if err := m.signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", m.name, err)
	}
	select {
	case <-m.ended:
	case <-time.After(patience):
		return fmt.Errorf("%s did not end within %s after SIGTERM", m.name, patience)
	}
	if code := m.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%s ended with status %d after SIGTERM", m.name, code)
	}
	return nil
}
