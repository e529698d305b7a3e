//go:build linux && (amd64 || arm64)

package builtin

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// viaFD gives a short path to a name in a directory, valid until close is called.
// The path of a unix socket may have 107 bytes; the data directory's alone can be longer.
func viaFD(dir, name string) (path string, closer func(), err error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", fd, name), func() { unix.Close(fd) }, nil
}
