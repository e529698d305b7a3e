package docker

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oddish/internal/sandbox"
)

// startRelay gives the address of a relay to the socket.
func startRelay(t *testing.T, socket string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free now
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	said, ready := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- relay(t.Context(), addr, socket, ready) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if line, err := bufio.NewReader(said).ReadString('\n'); err != nil || line != relayReady+"\n" {
		t.Fatalf("the relay says %q, %v", line, err)
	}
	return addr
}

// echo answers each connection with what was sent, in capitals, once the sender has ended.
func echo(t *testing.T, socket string) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				data, _ := io.ReadAll(c)
				_, _ = io.WriteString(c, strings.ToUpper(string(data)))
			}()
		}
	}()
}

func ask(addr, question string) (string, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := io.WriteString(c, question); err != nil {
		return "", err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(c)
	return string(answer), err
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "relay") // a socket's path has little room
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestTheRelayCarriesBothWaysToTheEnd(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(shortDir(t), "s")
	echo(t, socket)
	addr := startRelay(t, socket)
	for range 3 {
		if got, err := ask(addr, "hello"); err != nil || got != "HELLO" {
			t.Errorf("answer is %q, %v", got, err)
		}
	}
}

func TestTheRelayWaitsForAWorkerThatIsRestarted(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(shortDir(t), "s")
	addr := startRelay(t, socket)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "late"); err != nil {
		t.Fatal(err)
	}
	echo(t, socket)
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || string(got) != "LATE" {
		t.Errorf("answer is %q, %v", got, err)
	}
}

func TestARelayThatCannotRunSaysWhy(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"OCI runtime exec failed: exec format error":      "another processor",
		"exec /oddish/relay: no such file or directory":   "CGO_ENABLED=0",
		"listen tcp 127.0.0.1:1: bind: permission denied": "permission denied",
		"": "without a word",
	} {
		if err := relayFault(said); !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v", said, err)
		}
	}
	if err := relayFault("exec format error"); !errors.Is(err, sandbox.ErrUnsupported) {
		t.Errorf("another architecture is %v", err)
	}
}
