//go:build linux && (amd64 || arm64)

package link

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"oddish/internal/sandbox/netpeer"
)

// nobody is whom the process is once the device is there.
const nobody = 65534

// requestTimeout bounds the reading and answering of a request.
const requestTimeout = 5 * time.Second

func controlSocket() string { return filepath.Join(ControlDir, "control") }

// serve carries the packets of a sandbox until it is killed or the sandbox ends. What the sandbox tries goes to the standard output, a
// line of JSON each.
func serve(process, asked string) error {
	pid, err := strconv.Atoi(process)
	if err != nil {
		return err
	}
	own, err := parse([]byte(asked))
	if err != nil {
		return err
	}
	policy, err := netpeer.PolicyOf(own.Network, own.Private)
	if err != nil {
		return err
	}
	ended, err := watch(pid)
	if err != nil {
		return fmt.Errorf("find the container's process: %w", err)
	}
	tun, err := openTUN(pid)
	if err != nil {
		return err
	}
	defer tun.Close()
	l, err := listen()
	if err != nil {
		return fmt.Errorf("open the control socket: %w", err)
	}
	if err := dropRights(); err != nil {
		return fmt.Errorf("give up the rights of root: %w", err)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	peer, err := netpeer.New(netpeer.Config{
		FD: int(tun.Fd()), Device: true, Policy: policy, Record: netpeer.NewLog(os.Stdout, log).Record, Log: log,
	})
	if err != nil {
		return err
	}
	go accept(l, peer, own.Private)
	fmt.Fprintln(os.Stderr, Ready)
	<-ended
	return nil
}

func listen() (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "unix", controlSocket())
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(controlSocket(), 0o666) // there is nobody here but us
}

func parse(asked []byte) (request, error) {
	var r request
	if err := json.Unmarshal(asked, &r); err != nil {
		return r, fmt.Errorf("the request is not understood: %w", err)
	}
	return r, nil
}

// watch gives a channel that is closed when the process is over.
func watch(pid int) (<-chan struct{}, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
			if !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
	return ended, nil
}

// dropRights leaves this process nothing but its open files and ordinary connections.
func dropRights() error {
	if err := syscall.Setgroups(nil); err != nil {
		return err
	}
	if err := syscall.Setgid(nobody); err != nil {
		return err
	}
	return syscall.Setuid(nobody) // the capabilities go with it
}

func accept(l net.Listener, peer *netpeer.Peer, private bool) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go respond(c, peer, private)
	}
}

func respond(c net.Conn, peer *netpeer.Peer, private bool) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(requestTimeout))
	asked, err := bufio.NewReader(c).ReadBytes('\n')
	if err != nil {
		return
	}
	var a answer
	if err := change(asked, peer, private); err != nil {
		a.Error = err.Error()
	}
	_ = json.NewEncoder(c).Encode(a)
}

func change(asked []byte, peer *netpeer.Peer, private bool) error {
	r, err := parse(asked)
	if err != nil {
		return err
	}
	policy, err := netpeer.PolicyOf(r.Network, private)
	if err != nil {
		return err
	}
	peer.SetPolicy(policy)
	return nil
}

// set asks the process that serves for a policy.
func set(asked string) error {
	c, err := net.DialTimeout("unix", controlSocket(), requestTimeout)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(requestTimeout))
	if _, err := c.Write([]byte(asked + "\n")); err != nil {
		return err
	}
	var a answer
	if err := json.NewDecoder(c).Decode(&a); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	return nil
}
