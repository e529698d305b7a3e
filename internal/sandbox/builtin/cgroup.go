//go:build linux && (amd64 || arm64)

package builtin

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupPatience is how long the end of killed processes is waited for.
const cgroupPatience = 20 * time.Second

const cgroupMount = "/sys/fs/cgroup"

// cgroupName of a sandbox. The group has no parent of ours, so that none stays behind.
func cgroupName(id string) string { return "oddish-" + id }

// cgroupControllers are those whose limits are set.
func cgroupControllers() []string { return []string{"memory", "cpu", "pids"} }

// unifiedCgroups says whether the machine has version 2 of control groups alone.
func unifiedCgroups() bool {
	var st unix.Statfs_t
	return unix.Statfs(cgroupMount, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

// cgroupsUsable says whether this process may make control groups that limit. The
// limits of sandboxes are told as enforced only if it may.
func cgroupsUsable() bool {
	if os.Geteuid() != 0 {
		return false
	}
	// Of this try alone: another provider, in this process too, may look at the same moment.
	probe := fmt.Sprintf("oddish-probe-%d-%08x", os.Getpid(), rand.Uint32())
	if unifiedCgroups() {
		return unifiedUsable(probe)
	}
	for _, c := range cgroupControllers() {
		dir := filepath.Join(cgroupMount, c, probe)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return false
		}
		if err := os.Remove(dir); err != nil {
			return false
		}
	}
	return true
}

// unifiedUsable tries what gVisor will do: hand the controllers down from the root.
func unifiedUsable(probe string) bool {
	control := filepath.Join(cgroupMount, "cgroup.subtree_control")
	for _, c := range cgroupControllers() {
		if err := os.WriteFile(control, []byte("+"+c), 0); err != nil {
			return false
		}
	}
	dir := filepath.Join(cgroupMount, probe)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return false
	}
	return os.Remove(dir) == nil
}

// cgroupDirs lists the folders of a group that exist, one for each hierarchy.
func cgroupDirs(name string) []string {
	if name == "" {
		return nil
	}
	if unifiedCgroups() {
		return existing(filepath.Join(cgroupMount, name))
	}
	entries, err := os.ReadDir(cgroupMount)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		out = append(out, existing(filepath.Join(cgroupMount, e.Name(), name))...)
	}
	return out
}

func existing(path string) []string {
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	return []string{path}
}

// removeCgroup kills what is left in a group and removes it.
func removeCgroup(name string) error {
	var errs []error
	for _, dir := range cgroupDirs(name) {
		if err := removeCgroupDir(dir); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// removeCgroupDir tries for some time: a group is busy until its last process is reaped.
func removeCgroupDir(dir string) error {
	deadline := time.Now().Add(cgroupPatience)
	for {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("remove control group: %w", err)
		}
		for _, pid := range cgroupProcesses(dir) {
			unix.Kill(pid, unix.SIGKILL)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func cgroupProcesses(dir string) []int {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil
	}
	var out []int
	for _, f := range strings.Fields(string(b)) {
		if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
			out = append(out, pid)
		}
	}
	return out
}

// oomKills counts the processes of a group that the kernel has killed for want of memory.
func oomKills(name string) int {
	if name == "" {
		return 0
	}
	n := 0
	for _, path := range []string{
		filepath.Join(cgroupMount, "memory", name, "memory.oom_control"),
		filepath.Join(cgroupMount, name, "memory.events"),
	} {
		n += valueOf(path, "oom_kill")
	}
	return n
}

// memoryPeak is the most memory that the processes of a group had at a time, in bytes; 0: unknown.
func memoryPeak(name string) int64 {
	if name == "" {
		return 0
	}
	for _, path := range []string{
		filepath.Join(cgroupMount, "memory", name, "memory.max_usage_in_bytes"),
		filepath.Join(cgroupMount, name, "memory.peak"),
	} {
		if b, err := os.ReadFile(path); err == nil {
			n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
			return n
		}
	}
	return 0
}

// valueOf reads a number from a file of "key value" lines; 0 if there is none.
func valueOf(path, key string) int {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == key {
			n, _ := strconv.Atoi(f[1])
			return n
		}
	}
	return 0
}
