// Package builtin runs sandboxes with nothing installed: gVisor, compiled into this
// binary, which executes itself again as gVisor's processes.
//
// Every sandbox has one shim process of ours. It builds the root file system in a
// mount namespace of its own, is the parent of gVisor's kernel (the "sentry") and
// file server (the "gofer"), and holds the far end of the sandbox's network, a
// TCP/IP stack in user space. It outlives the worker, which finds it again by its
// folder; if the shim dies the sandbox dies with it.
//
// It builds no images: the root file system is this machine's own tools, or an image that
// package image keeps unpacked, read-only, under a private layer. Package sandbox, above, defines what it
// provides; packages rootfs and netpeer, below, build the root and the network.
// A program that uses it must call Dispatch first in main.
package builtin

import (
	"log/slog"

	"oddish/internal/image"
)

// Kind is the name of this kind of sandbox.
const Kind = "builtin"

// Config of a Provider.
type Config struct {
	// Dir holds one folder for each sandbox, with its private layer on disk. It
	// is made if absent, is never visible in a sandbox, and must not be shared
	// between machines.
	Dir string
	// Hide lists further directories of this machine that must never be visible
	// in a sandbox (the data directory), even if they are below /usr, /etc or /opt. Homes,
	// /var, /run and the like are not visible in any case.
	Hide []string
	// Images are those that sandboxes can be made of; nil: only this machine's own tools.
	Images *image.Store
	// MinFree is how many bytes must be free on the disk of Dir for a sandbox to start; less is sandbox.ErrDiskFull. 0: it is not looked at.
	MinFree int64
	// Log takes what is worth knowing to an operator; nil discards it.
	Log *slog.Logger
}
