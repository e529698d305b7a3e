package worker

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"oddish/internal/llm/gateway"
	"oddish/internal/llm/price"
	"oddish/internal/llm/transcript"
)

// modelGate serves the model gateway to the sandboxes of this machine. It has a socket in the folder of each worker of whose jobs some run
// here, at a path that stays the same: a sandbox that outlives its worker finds the next one there.
type modelGate struct {
	gateway     *gateway.Gateway
	transcripts *transcript.Pool
	prices      *price.Table
	getenv      func(string) (string, bool)
	server      *http.Server

	mu    sync.Mutex
	open  map[string]net.Listener // by path
	serve sync.WaitGroup
}

func newModelGate(prices *price.Table, getenv func(string) (string, bool), log *slog.Logger) *modelGate {
	if prices == nil {
		prices = price.Builtin()
	}
	g := gateway.New(gateway.Config{Prices: prices, Log: log})
	return &modelGate{
		gateway: g, transcripts: transcript.NewPool(), prices: prices, getenv: getenv, open: map[string]net.Listener{},
		server: &http.Server{
			Handler: g.Handler(), ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 10 * time.Minute,
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		},
	}
}

// listen gives the socket in a worker's folder, which is served until close.
func (g *modelGate) listen(home string) (string, error) {
	dir, err := socketDir(home)
	if err != nil {
		return "", fmt.Errorf("folder for the model gateway's socket: %w", err)
	}
	path := filepath.Join(dir, "sock")
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open[path] != nil {
		return path, nil
	}
	// What is there was a former process's: the folder is locked.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("remove the former model gateway's socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return "", fmt.Errorf("open the model gateway's socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // by then it may be a successor's
	// Only what is let into the folder above, or has it mounted, comes here, and in a sandbox that is any user.
	if err := os.Chmod(path, 0o666); err != nil {
		return "", errors.Join(fmt.Errorf("open the model gateway's socket: %w", err), l.Close())
	}
	g.open[path] = l
	g.serve.Go(func() { _ = g.server.Serve(l) }) // until close
	return path, nil
}

// close cuts what is left of connections.
func (g *modelGate) close() {
	_ = g.server.Close()
	g.serve.Wait()
}

// maxSocketPath leaves room below the 107 bytes that a socket's path may have.
const maxSocketPath = 100

// socketDir makes the folder of the socket, which holds nothing else, since containers have it mounted. Where the worker's own would make
// the path too long it is in the system's folder for temporary files, under a name that a successor finds again.
func socketDir(home string) (string, error) {
	dir := filepath.Join(home, "gateway")
	if len(dir)+len("/sock") > maxSocketPath {
		sum := sha256.Sum256([]byte(home))
		private := filepath.Join(os.TempDir(), "oddish-"+hex.EncodeToString(sum[:8]))
		if err := os.Mkdir(private, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		if err := ours(private); err != nil {
			return "", err
		}
		dir = filepath.Join(private, "gateway")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755) // whatever the umask
}

// ours refuses a folder that somebody else could reach into.
func ours(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || info.Mode().Perm() != 0o700 || !ok || int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("%s is not a folder of this user's alone: remove it", dir)
	}
	return nil
}
