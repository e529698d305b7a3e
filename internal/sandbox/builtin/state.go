//go:build linux && (amd64 || arm64)

package builtin

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"oddish/internal/sandbox"
)

// stateDir is the folder of one sandbox, <Config.Dir>/<id>. Workers and the shim meet in it.
type stateDir string

func (d stateDir) record() string  { return filepath.Join(string(d), "sandbox.json") }
func (d stateDir) status() string  { return filepath.Join(string(d), "status.json") }
func (d stateDir) lock() string    { return filepath.Join(string(d), "lock") }
func (d stateDir) log() string     { return filepath.Join(string(d), "shim.log") }
func (d stateDir) traffic() string { return filepath.Join(string(d), "network.jsonl") }
func (d stateDir) runsc() string   { return filepath.Join(string(d), "runsc") }
func (d stateDir) bundle() string  { return filepath.Join(string(d), "bundle") }
func (d stateDir) root() string    { return filepath.Join(string(d), "root") }
func (d stateDir) scratch() string { return filepath.Join(string(d), "scratch") }
func (d stateDir) upper() string   { return filepath.Join(string(d), "upper") }

// id is the sandbox's id: the folder's name.
func (d stateDir) id() string { return filepath.Base(string(d)) }

// controlSocket and sentrySocket are names in the folder and in runsc(); see dialUnix.
const controlSocket = "control.sock"

func sentrySocket(id string) string { return "runsc-" + id + ".sock" }

// record is what was asked for. The worker writes it before the shim starts.
type record struct {
	Name     string            `json:"name"`
	Owner    string            `json:"owner"`
	Labels   map[string]string `json:"labels,omitempty"`
	Created  time.Time         `json:"created"`
	Env      []string          `json:"env"` // of every command, KEY=value
	Workdir  string            `json:"workdir"`
	Hostname string            `json:"hostname"`
	User     string            `json:"user,omitempty"` // of commands that name none; empty: root
	// Root is the folder of the image's root file system, and Image its digest; empty: this machine's own tools.
	Root  string `json:"root,omitempty"`
	Image string `json:"image,omitempty"`
	// Entrypoint is the image's, run beside the commands; empty: it has none.
	Entrypoint []string `json:"entrypoint,omitempty"`

	Resources     sandbox.Resources `json:"resources"`
	Network       sandbox.Network   `json:"network"`
	AllowPrivate  bool              `json:"allow_private,omitempty"`
	ServiceSocket string            `json:"service_socket,omitempty"`
	Programs      string            `json:"programs,omitempty"`
	Hide          []string          `json:"hide,omitempty"`
	Mounts        []mount           `json:"mounts,omitempty"`
	// Tied: the sandbox ends when the process that started it is gone.
	Tied bool `json:"tied,omitempty"`
	// Cgroup is the name of the control group, "" where groups can't be used.
	Cgroup string `json:"cgroup,omitempty"`
}

// mount shows a folder or a file of this machine, or an empty file system in memory.
type mount struct {
	Source   string `json:"source,omitempty"` // empty: in memory
	Target   string `json:"target"`           // it is there
	Writable bool   `json:"writable,omitempty"`
}

// phase of a sandbox's life, as the shim sees it.
type phase string

const (
	running phase = "running"
	ended   phase = "ended"
)

// status is what became of it. The shim writes it when the sandbox runs and when it ends.
type status struct {
	Phase phase `json:"phase"`
	// OutOfMemory and Detail say why it ended.
	OutOfMemory bool   `json:"out_of_memory,omitempty"`
	MemoryPeak  int64  `json:"memory_peak,omitempty"` // bytes that it had used at most by then; 0: unknown
	Detail      string `json:"detail,omitempty"`
	Shell       string `json:"shell"` // with which scripts are run
	Shim        proc   `json:"shim"`
	Sentry      proc   `json:"sentry"`
	Gofer       proc   `json:"gofer"`
}

func (d stateDir) readRecord() (record, error) {
	var r record
	return r, readJSON(d.record(), &r)
}

func (d stateDir) readStatus() (status, error) {
	var s status
	return s, readJSON(d.status(), &s)
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// writeJSON replaces the file at once, so that a reader sees the old or the new content.
func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// takeLock makes the lock file and locks it. The lock lives as long as any copy of the returned
// file's descriptor: the worker hands it to the shim, so it is free exactly when the shim is gone,
// however it went, and whatever process ids have been used again since.
func (d stateDir) takeLock() (*os.File, error) {
	f, err := os.OpenFile(d.lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", d.lock(), err)
	}
	return f, nil
}

// alive says whether the sandbox's shim lives.
func (d stateDir) alive() bool {
	f, err := os.OpenFile(d.lock(), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// running says whether the sandbox can be used. Its shim may outlive it for a moment.
func (d stateDir) running() bool {
	st, err := d.readStatus()
	return d.alive() && (err != nil || st.Phase != ended) // no status yet: it is being started
}
