//go:build linux

// Package machine makes another machine for tests of sandboxes: a network namespace with a server in it.
package machine

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
)

// serverEnv makes the test binary the server of another machine; see Other.
const serverEnv = "ODDISH_TEST_SERVER"

// machines counts the other machines of this process: two with the same addresses would be taken for one another.
var machines atomic.Int32

// Other starts a server in a network namespace of its own, joined to this
// machine by a pair of interfaces, and returns its address, which is in a range
// for documentation and so looks public. "" where that takes rights that we lack.
// The test program's TestMain must call Serve first.
func Other(t testing.TB) string {
	t.Helper()
	if os.Geteuid() != 0 {
		return ""
	}
	server := exec.Command("/proc/self/exe")
	server.Args[0] = "server"
	server.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	server.Stderr = t.Output()
	in, err1 := server.StdinPipe()
	out, err2 := server.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	n := (os.Getpid()*7 + int(machines.Add(1))) % 62 * 4
	ours, theirs := fmt.Sprintf("198.51.100.%d/30", n+1), fmt.Sprintf("198.51.100.%d/30", n+2)
	name := fmt.Sprintf("odd%06x", rand.IntN(1<<24))
	server.Env = append(os.Environ(), serverEnv+"="+name+"p "+theirs)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // the interfaces go with the namespace
		server.Process.Kill()
		server.Wait()
	})
	if err := join(name, ours, server.Process.Pid); err != nil {
		t.Fatalf("join the other machine: %v", err)
	}
	fmt.Fprintln(in, "joined")
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the other machine: %v", err)
	}
	return strings.TrimSpace(addr)
}

// join makes a pair of interfaces, one here and one in the namespace of pid.
func join(name, addr string, pid int) error {
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name, MTU: 1500}, PeerName: name + "p"}
	if err := netlink.LinkAdd(link); err != nil {
		return err
	}
	peer, err := netlink.LinkByName(name + "p")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetNsPid(peer, pid); err != nil {
		return err
	}
	return configure(name, addr)
}

func configure(name, addr string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(addr)
	if err != nil {
		return err
	}
	return errors.Join(netlink.AddrAdd(link, a), netlink.LinkSetUp(link))
}

// Serve makes this process the server, which greets every connection, if Other started it as one; it does not come back then.
func Serve() {
	spec := os.Getenv(serverEnv)
	if spec == "" {
		return
	}
	err := serve(spec)
	fmt.Fprintln(os.Stderr, "server:", err)
	os.Exit(1)
}

func serve(spec string) error {
	name, addr, _ := strings.Cut(spec, " ")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	if err := configure(name, addr); err != nil {
		return err
	}
	l, err := net.Listen("tcp4", strings.TrimSuffix(addr, "/30")+":0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		fmt.Fprintln(c, "hello from another machine")
		c.Close()
	}
}
