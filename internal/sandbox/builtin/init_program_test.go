//go:build linux && (amd64 || arm64)

package builtin

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestInitProgramIgnoresEverySignal(t *testing.T) {
	t.Parallel()
	program, err := initProgram()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "init")
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	// All but KILL (9) and STOP (19), as /proc shows them.
	const all = "SigIgn:\tfffffffffffbfeff"
	var got string
	for range 500 {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		if got = string(b); strings.Contains(got, all) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !strings.Contains(got, all) {
		t.Errorf("not all signals are ignored:\n%s", got)
	}
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Error(err)
	}
	if !thisProc(cmd.Process.Pid).running() {
		t.Error("it does not run")
	}
}

func TestInitProgramExistsForEveryArchitecture(t *testing.T) {
	t.Parallel()
	for _, arch := range []string{"amd64", "arm64"} {
		code, _, err := initCode(arch)
		if err != nil || len(code)%8 != 0 {
			t.Errorf("%s: %d bytes, %v", arch, len(code), err)
		}
	}
	if _, _, err := initCode("mips"); err == nil {
		t.Error("no error for an architecture that is missing")
	}
}
