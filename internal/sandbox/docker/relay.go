package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"oddish/internal/sandbox/docker/link"
)

// relayArg as the first argument makes this program the relay of a container; see Dispatch.
const relayArg = "sandbox-relay"

// relayReady is what the relay says once it takes connections.
const relayReady = link.Ready

// How long a connection waits for the service of a worker that is being restarted, and how often it tries.
const (
	relayPatience = 30 * time.Second
	relayPause    = 100 * time.Millisecond
)

// Dispatch runs the relay, or a process of a companion, if this process was started as one, and reports whether it did. A program that makes
// providers must call it before anything else, because it is mounted into containers.
func Dispatch() bool {
	if link.Dispatch() {
		return true
	}
	if len(os.Args) != 4 || os.Args[1] != relayArg {
		return false
	}
	if err := relay(context.Background(), os.Args[2], os.Args[3], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// relay takes connections at addr and forwards them to the unix socket until ctx ends.
func relay(ctx context.Context, addr, socket string, ready io.Writer) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer l.Close()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	if _, err := fmt.Fprintln(ready, relayReady); err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil { // out of files, for one: those of other connections come back
			time.Sleep(relayPause)
			continue
		}
		go forward(ctx, c, socket)
	}
}

// forward carries one connection to its end.
func forward(ctx context.Context, from net.Conn, socket string) {
	defer from.Close()
	to, err := dialService(ctx, socket)
	if err != nil {
		return
	}
	defer to.Close()
	var both sync.WaitGroup
	both.Go(func() { carry(to, from) })
	both.Go(func() { carry(from, to) })
	both.Wait()
}

// dialService waits for a service that is away: a worker that is restarted opens its socket again.
func dialService(ctx context.Context, socket string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, relayPatience)
	defer cancel()
	for {
		c, err := new(net.Dialer).DialContext(ctx, "unix", socket)
		if err == nil {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		case <-time.After(relayPause):
		}
	}
}

// carry copies one direction and passes its end on. A direction that broke ends the other too.
func carry(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	_, _ = to.Close(), from.Close()
}
