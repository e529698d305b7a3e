package compose

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
)

func TestScratchFilesAreReadByProgramsAndNotOnDisk(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there are no files in memory")
	}
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var s Scratch
	path, err := s.Write("variables", []byte("KEY=\"secret\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the plugin reads some files twice
		out, err := exec.CommandContext(t.Context(), "cat", path).CombinedOutput()
		if err != nil || string(out) != "KEY=\"secret\"\n" {
			t.Errorf("a program reads %q, %v", out, err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("on disk: %v, %v", left, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err == nil {
		t.Errorf("after the close it still has %q", data)
	}
}
