//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/sandboxtest/machine"
)

// serviceSocket serves "hello" on a unix socket.
func serviceSocket(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "service.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return path
}

// connect tries a TCP connection from inside and prints "open", "refused" or "closed".
func connect(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	return fmt.Sprintf(`e=$(timeout 3 bash -c 'exec 3<>/dev/tcp/%s/%s && echo open' 2>&1)
case $e in open) echo open;; *refused*) echo refused;; *) echo closed;; esac`, host, port)
}

// Harbor test list #25
func TestNetwork(t *testing.T) {
	t.Parallel()
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "host") }))
	defer host.Close()
	loopback := host.Listener.Addr().String()
	p := newProvider(t)
	service := func(s *sandbox.Spec) { s.ServiceSocket = serviceSocket(t) }
	fetch := fmt.Sprintf(`exec 3<>/dev/tcp/%s; printf 'GET / HTTP/1.0\r\n\r\n' >&3; tail -1 <&3`, strings.Replace(p.Capabilities().ServiceAddr, ":", "/", 1))
	s := start(t, p, service)

	closed := func(t *testing.T) {
		t.Helper()
		_, port, _ := net.SplitHostPort(loopback)
		targets := []string{loopback, "10.77.0.1:" + port, "10.77.0.1:22", "10.77.0.3:80", "169.254.169.254:80", "255.255.255.255:80"}
		if addrs, err := net.InterfaceAddrs(); err == nil {
			for _, a := range addrs {
				if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil {
					targets = append(targets, net.JoinHostPort(n.IP.String(), port))
				}
			}
		}
		for _, target := range targets {
			if _, out := run(t, s, connect(target)); out == "open" {
				t.Errorf("%s is open", target)
			}
		}
	}
	for _, mode := range []sandbox.NetworkMode{sandbox.NetworkNone, sandbox.NetworkPublic, sandbox.NetworkNone} {
		if err := s.SetNetwork(context.Background(), sandbox.Network{Mode: mode}); err != nil {
			t.Fatal(err)
		}
		t.Run(string(mode)+" does not reach this machine", closed)
		t.Run(string(mode)+" reaches the service", func(t *testing.T) { want(t, s, fetch, "hello") })
	}
	t.Run("no-network reaches nothing and knows no names", func(t *testing.T) {
		for _, target := range []string{"192.0.2.1:443", "203.0.113.14:80"} {
			want(t, s, connect(target), "refused")
		}
		want(t, s, "getent hosts example.com; echo $?", "2")
		want(t, s, `timeout 5 bash -c 'echo > /dev/udp/192.0.2.1/53; echo' >/dev/null; ping -c 1 -W 1 192.0.2.1 >/dev/null 2>&1 && echo answered`, "")
	})
	t.Run("public reaches other machines", func(t *testing.T) {
		addr := machine.Other(t)
		if addr == "" {
			t.Skip("needs root to make a network namespace with an interface to it")
		}
		want(t, s, connect(addr), "refused")
		if err := s.SetNetwork(context.Background(), sandbox.Network{Mode: sandbox.NetworkPublic}); err != nil {
			t.Fatal(err)
		}
		want(t, s, fmt.Sprintf("timeout 10 cat < /dev/tcp/%s", strings.Replace(addr, ":", "/", 1)), "hello from another machine")
	})
	t.Run("raw and packet sockets are closed", func(t *testing.T) {
		want(t, s, `for s in "AF_INET,socket.SOCK_RAW,1" "AF_PACKET,socket.SOCK_RAW,3" "AF_VSOCK,socket.SOCK_STREAM,0"; do
python3 -c "import socket; socket.socket(socket.$s); print('open', '$s')" 2>/dev/null; done; true`, "")
	})
	t.Run("the sandbox's own loopback works", func(t *testing.T) {
		want(t, s, `python3 -c "
import socket
l = socket.create_server(('127.0.0.1', 0))
c = socket.create_connection(l.getsockname())
c.sendall(b'own'); print(l.accept()[0].recv(3).decode())"`, "own")
	})
}

func TestServiceIsRefusedWhereNoneIsOffered(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	s := start(t, p)
	want(t, s, connect(p.Capabilities().ServiceAddr), "refused")
}
