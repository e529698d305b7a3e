//go:build !(linux && (amd64 || arm64))

package link

import (
	"fmt"
	"os"
	"runtime"

	"oddish/internal/sandbox"
)

// Check refuses a policy that no link enforces.
func Check(sandbox.Network) error {
	return fmt.Errorf("%w: a network that is limited to some hosts needs a worker on Linux on amd64 or arm64, and this is %s on %s",
		sandbox.ErrUnsupported, runtime.GOOS, runtime.GOARCH)
}

func run(string, []string) int {
	fmt.Fprintln(os.Stderr, Check(sandbox.Network{}))
	return 1
}
