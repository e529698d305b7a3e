package sandbox

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Room is ErrDiskFull if fewer than least bytes are free for this user on the disk of dir. The remedy is what the error ends with. 0 asks for nothing.
func Room(dir string, least int64, remedy string) error {
	if least == 0 {
		return nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("look for free space in %s: %w", dir, err)
	}
	free := int64(st.Bavail) * int64(st.Bsize) // their types differ between systems
	if free >= least {
		return nil
	}
	return fmt.Errorf("%w: %d MB are free on the disk of %s, and sandboxes are started with %d MB or more (ODDISH_MIN_FREE_DISK): %s",
		ErrDiskFull, free/1e6, dir, least/1e6, remedy)
}
