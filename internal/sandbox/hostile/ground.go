package hostile

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
)

// ground is what of this machine the checks try to get at.
type ground struct {
	Config
	token   string       // a secret
	dir     string       // folder of this machine with the secret in a file that everybody may read
	bystand *exec.Cmd    // a process with the token among its arguments and in its environment
	server  net.Listener // on all addresses of this machine
	hosts   []string     // those addresses that are not loopback
	count   atomic.Int64
}

func (g *ground) next() int64 { return g.count.Add(1) }

func (g *ground) secret() string { return filepath.Join(g.dir, "secret") }

func (g *ground) port() string {
	return strconv.Itoa(g.server.Addr().(*net.TCPAddr).Port)
}

func (g *ground) prepare(context.Context) (err error) {
	defer func() {
		if err != nil {
			g.clear()
			err = fmt.Errorf("prepare what is to be protected: %w", err)
		}
	}()
	g.token = "oddish-" + rand.Text()
	if g.dir, err = os.MkdirTemp("", "oddish-hostile-*"); err != nil {
		return err
	}
	if err = os.Chmod(g.dir, 0o755); err != nil {
		return err
	}
	if err = os.WriteFile(g.secret(), []byte(g.token+"\n"), 0o644); err != nil {
		return err
	}
	g.bystand = exec.Command("sh", "-c", "sleep 600; :", g.token)
	g.bystand.Env = append(os.Environ(), "TOKEN="+g.token)
	if err = g.bystand.Start(); err != nil {
		return err
	}
	if g.server, err = net.Listen("tcp", ":0"); err != nil {
		return err
	}
	go g.serve()
	g.hosts, err = addresses()
	return err
}

// serve tells the token to whoever connects.
func (g *ground) serve() {
	for {
		c, err := g.server.Accept()
		if err != nil {
			return
		}
		_, _ = c.Write([]byte(g.token + "\n"))
		_ = c.Close()
	}
}

// addresses gives the IPv4 addresses of this machine that are not loopback.
func addresses() ([]string, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var hosts []string
	for _, a := range all {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && !ip.IP.IsLoopback() {
			hosts = append(hosts, ip.IP.String())
		}
	}
	return hosts, nil
}

func (g *ground) clear() {
	if g.bystand != nil && g.bystand.Process != nil {
		_ = g.bystand.Process.Kill()
		_ = g.bystand.Wait()
	}
	if g.server != nil {
		_ = g.server.Close()
	}
	if g.dir != "" {
		_ = os.RemoveAll(g.dir)
	}
}

// processesWith counts processes of this machine that have a text among their arguments.
func processesWith(text string) (int, error) {
	folders, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	if len(folders) == 0 {
		return 0, errors.New("this machine shows no processes")
	}
	n := 0
	for _, name := range folders {
		if data, err := os.ReadFile(name); err == nil && strings.Contains(string(data), text) {
			n++
		}
	}
	return n, nil
}
