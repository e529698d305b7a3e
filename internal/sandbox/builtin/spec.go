//go:build linux && (amd64 || arm64)

package builtin

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"oddish/internal/sandbox"
)

// sentryHeadroom is added to the memory limit for gVisor itself, in bytes: the limit is the task's, not ours.
const sentryHeadroom = 64 << 20

// Bounds on processes. A sandbox's own users get the first, each, and an error
// beyond it. The second, in processes and threads of this machine (two or three for one in
// the sandbox), is the last resort for the machine's sake: gVisor does not survive it.
const (
	maxUserProcesses = 2048
	maxHostProcesses = 8192
)

// cpuPeriod of the CPU quota, in microseconds.
const cpuPeriod = 100_000

// ociSpec is the container in the terms of the OCI runtime specification.
func ociSpec(r record, dir stateDir) *specs.Spec {
	caps := capabilities()
	spec := &specs.Spec{
		Version:  specs.Version,
		Hostname: r.Hostname,
		Root:     &specs.Root{Path: dir.root()},
		Process: &specs.Process{
			Args:         []string{initPath},
			Env:          []string{"PATH=/usr/bin:/bin"}, // r.Env may hold secrets that only some commands are to see
			Cwd:          r.Workdir,                      // which gVisor makes if it is missing
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
			Rlimits: []specs.POSIXRlimit{
				{Type: "RLIMIT_NOFILE", Soft: 65536, Hard: 1 << 20},
				{Type: "RLIMIT_NPROC", Soft: maxUserProcesses, Hard: maxUserProcesses},
				{Type: "RLIMIT_CORE", Soft: 0, Hard: 0},
			},
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777"}},
		},
		Linux: &specs.Linux{
			CgroupsPath: cgroupsPath(r),
			Resources:   resources(r),
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.MountNamespace},
			},
		},
	}
	if r.Programs != "" {
		// A mount of its own and no part of the root: gVisor looks at the folder again each time, so that what is added later is seen.
		spec.Mounts = append(spec.Mounts, specs.Mount{
			Destination: sandbox.ProgramsDir, Type: "bind", Source: r.Programs, Options: []string{"bind", "ro", "nosuid", "nodev"},
		})
	}
	for _, m := range r.Mounts {
		spec.Mounts = append(spec.Mounts, ociMount(m))
	}
	return spec
}

func ociMount(m mount) specs.Mount {
	if m.Source == "" {
		return specs.Mount{Destination: m.Target, Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=1777"}}
	}
	access := "ro"
	if m.Writable {
		access = "rw"
	}
	return specs.Mount{Destination: m.Target, Type: "bind", Source: m.Source, Options: []string{"bind", access, "nosuid", "nodev"}}
}

// capabilities of root in the sandbox: those that container engines give.
func capabilities() []string {
	return []string{
		"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
		"CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
	}
}

func cgroupsPath(r record) string {
	if r.Cgroup == "" {
		return ""
	}
	return "/" + r.Cgroup
}

// resources are the limits of the control group.
func resources(r record) *specs.LinuxResources {
	if r.Cgroup == "" {
		return nil
	}
	out := &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: maxHostProcesses}}
	if n := r.Resources.MemoryBytes; n > 0 {
		limit := n + sentryHeadroom
		out.Memory = &specs.LinuxMemory{Limit: &limit}
	}
	if n := r.Resources.CPUs; n > 0 {
		quota, period := int64(n*cpuPeriod), uint64(cpuPeriod)
		out.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period}
	}
	return out
}
