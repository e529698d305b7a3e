// Package link gives a container that has no network of its engine's a link to a network stack of ours, in which its policy is enforced
// (package netpeer), the same as that of builtin sandboxes.
//
// Its process runs in a container of its own, the companion: on the machine's network, beside the sandbox and out of its reach. It makes a
// TUN device in the sandbox's network namespace, gives up every right, and carries the packets. Package docker, above it, makes the companion.
package link

import (
	"encoding/json"
	"os"
	"strconv"

	"oddish/internal/sandbox"
)

// arg as the first argument makes this program a process of a companion; see Dispatch.
const arg = "sandbox-link"

// ControlDir is where the companion's process takes requests, on a socket. It must be writable, and nobody else's.
const ControlDir = "/run/oddish-link"

// NameServer is the address at which the sandbox finds its name server.
const NameServer = "10.77.0.1"

// request is what serve is told and set asks of it.
type request struct {
	Network sandbox.Network `json:"network"`
	Private bool            `json:"private,omitempty"` // serve only: the public network has private addresses
}

// answer is what serve says to that.
type answer struct {
	Error string `json:"error,omitempty"`
}

// Ready is what a process that serves says on its standard error, as a line, once the policy is in force.
const Ready = "ready"

// Serve gives the arguments with which this program carries the packets of the process with that id on the engine's machine, and of
// all that share its network namespace. private opens private addresses to the public network.
func Serve(pid int, n sandbox.Network, private bool) []string {
	return []string{arg, "serve", strconv.Itoa(pid), request{Network: n, Private: private}.String()}
}

// Set gives the arguments with which it puts another policy in force, beside a process that serves.
func Set(n sandbox.Network) []string { return []string{arg, "set", request{Network: n}.String()} }

func (r request) String() string {
	b, _ := json.Marshal(r) // cannot fail
	return string(b)
}

// Dispatch runs a companion's process if this process was started as one, and reports whether it did.
func Dispatch() bool {
	if len(os.Args) < 3 || os.Args[1] != arg {
		return false
	}
	os.Exit(run(os.Args[2], os.Args[3:]))
	return true
}
