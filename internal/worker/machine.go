package worker

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
)

// DefaultCPUShare is how many declared CPUs there may be for each of the machine's. Trials
// wait for models and networks most of their time, and CPUs, unlike memory, can be shared.
const DefaultCPUShare = 2

// machineCPUs is how many CPUs running trials may declare together.
func machineCPUs() float64 {
	return DefaultCPUShare * float64(runtime.GOMAXPROCS(0)) // knows the limit of a container
}

// machineMemory is the memory of the machine or of the container that this process is in, in
// bytes; 0 if that cannot be found out.
func machineMemory() int64 {
	memory := memTotal("/proc/meminfo")
	for _, name := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		data, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		limit, err := strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64) // or "max"
		if err == nil && limit > 0 && (memory == 0 || limit < memory) {
			memory = limit
		}
	}
	return memory
}

func memTotal(name string) int64 {
	data, err := os.ReadFile(name)
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(data) {
		f := bytes.Fields(line)
		if len(f) >= 2 && string(f[0]) == "MemTotal:" {
			kib, err := strconv.ParseInt(string(f[1]), 10, 53)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}
