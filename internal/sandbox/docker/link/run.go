//go:build linux && (amd64 || arm64)

package link

import (
	"fmt"
	"os"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/netpeer"
)

// Check refuses a policy that no link enforces.
func Check(n sandbox.Network) error {
	_, err := netpeer.PolicyOf(n, false)
	return err
}

// run is a process of a companion; it returns its exit status.
func run(verb string, operands []string) int {
	var err error
	switch {
	case verb == "serve" && len(operands) == 2:
		err = serve(operands[0], operands[1])
	case verb == "set" && len(operands) == 1:
		err = set(operands[0])
	default:
		err = fmt.Errorf("it does not know %q with %d operands; it is of another version", verb, len(operands))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
