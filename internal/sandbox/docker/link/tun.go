//go:build linux && (amd64 || arm64)

package link

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"oddish/internal/sandbox/netpeer"
)

// device is the name of the link inside the sandbox. Engines number their own from eth0.
const device = "tun0"

const tunFile = "/dev/net/tun"

// openTUN makes the device in the network namespace of a process and opens it.
//
// It is done on a thread of its own that ends with it, since a thread which may not get back to its namespace must not be used again.
func openTUN(pid int) (*os.File, error) {
	type opened struct {
		f   *os.File
		err error
	}
	done := make(chan opened)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		f, err := openTUNHere(pid)
		done <- opened{f, err}
	}()
	o := <-done
	return o.f, o.err
}

func openTUNHere(pid int) (*os.File, error) {
	if err := enter(pid); err != nil {
		return nil, fmt.Errorf("enter the container's network: %w", err)
	}
	fd, err := unix.Open(tunFile, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s (has the engine's machine the kernel module tun?): %w", tunFile, err)
	}
	f := os.NewFile(uintptr(fd), tunFile)
	if err := configure(fd); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// enter takes this thread into the network namespace of a process, which must not be our own.
func enter(pid int) error {
	theirs, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return err
	}
	defer theirs.Close()
	ours, err := os.Stat("/proc/self/ns/net")
	if err != nil {
		return err
	}
	if info, err := theirs.Stat(); err != nil {
		return err
	} else if os.SameFile(info, ours) {
		return errors.New("it is the network of the machine")
	}
	return unix.Setns(int(theirs.Fd()), unix.CLONE_NEWNET)
}

// configure makes the open device the sandbox's way to everywhere.
func configure(fd int) error {
	req, err := unix.NewIfreq(device)
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return fmt.Errorf("make the device %s: %w", device, err)
	}
	nl, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find the device %s: %w", device, err)
	}
	guest := &netlink.Addr{IPNet: &net.IPNet{IP: netpeer.Guest().AsSlice(), Mask: net.CIDRMask(netpeer.PrefixLen, 32)}}
	err = errors.Join(netlink.LinkSetMTU(nl, netpeer.MTU), netlink.AddrAdd(nl, guest), netlink.LinkSetUp(nl))
	if err != nil {
		return fmt.Errorf("set up the device %s: %w", device, err)
	}
	// A network of a project's own, which leads nowhere, may have brought a default route.
	everywhere := &netlink.Route{LinkIndex: nl.Attrs().Index, Gw: netpeer.Gateway().AsSlice()}
	if err := netlink.RouteReplace(everywhere); err != nil {
		return fmt.Errorf("make the device %s the default route: %w", device, err)
	}
	return nil
}
