//go:build linux && (amd64 || arm64)

package builtin

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"oddish/internal/image"
	"oddish/internal/sandbox"
	"oddish/internal/sandbox/netpeer"
)

// Provider starts sandboxes on this machine. It holds no state that another
// process of the same Config.Dir would need. Make one with New.
type Provider struct {
	dir     string
	hide    []string
	log     *slog.Logger
	minFree int64
	cgroups bool
	images  *image.Store
	starts  chan struct{} // holds a token for each sandbox being started
	builds  chan struct{} // the same for images being built
	// buildMemory is how many bytes a RUN may use.
	buildMemory int64
}

var _ sandbox.Provider = (*Provider)(nil)

// New makes a Provider. It prepares c.Dir and finds out which limits this machine lets it enforce.
func New(c Config) (*Provider, error) {
	if c.Dir == "" {
		return nil, fmt.Errorf("builtin sandbox: no directory given")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("builtin sandbox: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("builtin sandbox: %w", err)
	}
	p := &Provider{
		dir:         dir,
		hide:        append([]string{dir}, c.Hide...),
		log:         c.Log,
		minFree:     c.MinFree,
		buildMemory: buildMemory(),
		cgroups:     cgroupsUsable(),
		images:      c.Images,
		starts:      make(chan struct{}, 2*runtime.NumCPU()),
		builds:      make(chan struct{}, parallelBuilds),
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if home, err := os.UserHomeDir(); err == nil {
		p.hide = append(p.hide, home)
	}
	p.removeAbandoned()
	return p, nil
}

// Kind is "builtin".
func (*Provider) Kind() string { return Kind }

// Capabilities says what sandboxes of this provider can do. CPU and memory are
// limited where control groups can be made, which takes root.
func (p *Provider) Capabilities() sandbox.Capabilities {
	return sandbox.Capabilities{
		HostImage:      true,
		Images:         p.images != nil,
		Build:          p.images != nil,
		NoNetwork:      true,
		Allowlist:      true,
		DynamicNetwork: true,
		ServiceAddr:    fmt.Sprintf("%s:%d", netpeer.Gateway(), netpeer.ServicePort),
		Programs:       true,
		CPULimit:       p.cgroups,
		MemoryLimit:    p.cgroups,
		StorageLimit:   true,
		Isolation:      2,
	}
}

func (p *Provider) state(id string) stateDir { return stateDir(filepath.Join(p.dir, id)) }

// preparing names the folder in which this process prepares the sandbox with that id.
func preparing(id string) string {
	p := thisProc(os.Getpid())
	return fmt.Sprintf("%s%d.%s-%s", newPrefix, p.PID, p.Start, id)
}

// removeAbandoned removes folders that processes were preparing which are gone: they were killed before the shim existed.
func (p *Provider) removeAbandoned() {
	left, err := filepath.Glob(filepath.Join(p.dir, newPrefix+"*"))
	if err != nil {
		return
	}
	for _, path := range left {
		var maker proc
		name := strings.TrimPrefix(filepath.Base(path), newPrefix)
		if n, _ := fmt.Sscanf(strings.NewReplacer(".", " ", "-", " ").Replace(name), "%d %s", &maker.PID, &maker.Start); n == 2 && maker.running() {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			p.log.Warn("abandoned sandbox folder not removed", "path", path, "error", err)
		}
	}
}
