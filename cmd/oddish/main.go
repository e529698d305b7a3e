//go:build !cgo

// Command oddish evaluates AI agents; see the help of its commands. All of it is in internal/cli.
package main

import (
	"os"

	"oddish/internal/cli"
	"oddish/internal/sandbox/builtin"
	"oddish/internal/sandbox/docker"
)

func main() {
	// The builtin sandbox runs this program again as its own children, and docker containers as their relay.
	if builtin.Dispatch() || docker.Dispatch() {
		return
	}
	os.Exit(cli.Main())
}
