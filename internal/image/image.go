// Package image keeps images of containers unpacked on disk, for sandboxes that need no container engine. They come
// from registries, from archives of `docker save` and from OCI layouts, and each is unpacked once, however many
// sandboxes use it and however many processes ask at once.
//
// A Store is a folder:
//
//	images/sha256-<digest>.json  an image: its configuration and the chain that is its root
//	names/<hash>.json            a name, such as debian:12, and the digest that it had when it was pulled
//	chains/<chain id>/root       a root file system; never written to once it is there
//	blobs/<digest>               layers that are being fetched; a fetch that was cut off goes on
//	caches/<hash>                what builds keep between them
//	locks/                       files that processes lock
//
// A chain id names the content of a sequence of layers, as in the OCI image specification. A new chain begins as hard
// links to the longest one that is there already, so that images share what they have in common on disk.
//
// The package knows nothing of sandboxes or tasks.
package image

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// ErrUnusable: there is no such image, it may not be had, or it is not fit for this machine. Another try brings nothing.
var ErrUnusable = errors.New("image cannot be used")

// Image is an image of a Store.
type Image struct {
	// Digest of the manifest, sha256:<hex>; of what was built here, of its content.
	Digest string `json:"digest"`
	// Chain names the root file system.
	Chain string `json:"chain"`
	// Config is what the image says of commands: environment, working directory, user, shell.
	Config v1.Config `json:"config"`
	// Platform such as linux/amd64.
	Platform string `json:"platform"`
	// Size of the unpacked root in bytes, shared parts included.
	Size int64 `json:"size"`
	// Created is when it came into the store.
	Created time.Time `json:"created"`

	// Root is the folder of the root file system. It must not be written to.
	Root string `json:"-"`
}

// DefaultPath is the PATH of an image that sets none.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Platform is that of this machine's images, such as linux/amd64.
func Platform() string { return "linux/" + runtime.GOARCH }

// unusable makes an error that another try does not mend.
func unusable(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnusable, fmt.Errorf(format, args...))
}
