//go:build linux && (amd64 || arm64)

package builtin

import (
	"os"
	"strings"

	"gvisor.dev/gvisor/runsc/cli/maincli"
)

// shimName is argv[0] of shim processes.
const shimName = "oddish-shim"

// Dispatch makes a process that the sandbox started from this same binary do its
// work: it must be the first call of main, before flags are looked at. It returns
// false at once in every other process; if it returns true, main must return. gVisor's
// processes do not come back from it at all.
func Dispatch() bool {
	name := os.Args[0]
	switch {
	case strings.HasPrefix(name, "runsc"), name == "/proc/self/exe" && len(os.Args) > 1 && os.Args[1] == "umount":
		// gVisor names its children runsc-sandbox, runsc-gofer and so on, but for a
		// small helper that unmounts /proc.
		maincli.Main() // exits
		return true
	case name == shimName:
		if code := shimMain(os.Args[1:]); code != 0 {
			os.Exit(code)
		}
		return true
	case name == terminalName:
		os.Exit(terminalMain(os.Args[1:]))
	}
	return false
}
