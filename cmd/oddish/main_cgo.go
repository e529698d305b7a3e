//go:build cgo

// Command oddish, where Go would link it with the C library: it hands over to a build without.
//
// The builtin sandbox starts this program again in an empty root directory, where no shared
// library is, so it has to be static. Go links dynamically wherever it finds a C compiler, unless CGO_ENABLED=0 is in
// the environment; this makes `go run ./cmd/oddish` work all the same (see docs/decisions/0007-static-binary.md).
package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

func main() {
	err := handOver()
	fmt.Fprintf(os.Stderr, "error: this oddish was built with cgo, and only a static one works: %v\n"+
		"hint: build it with `make build` or `CGO_ENABLED=0 go build ./cmd/oddish`\n", err)
	os.Exit(1)
}

// handOver becomes `go run` of the static build, which is there when this was started by `go run` itself.
func handOver() error {
	goTool, err := exec.LookPath("go")
	if err != nil {
		return err
	}
	const pkg = "oddish/cmd/oddish"
	if err := exec.Command(goTool, "list", pkg).Run(); err != nil {
		return fmt.Errorf("the source is not in this directory: go list %s: %w", pkg, err)
	}
	args := append([]string{"go", "run", pkg}, os.Args[1:]...)
	return syscall.Exec(goTool, args, append(os.Environ(), "CGO_ENABLED=0"))
}
