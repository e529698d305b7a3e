// Package docker runs sandboxes as containers of a Docker engine, through its API.
//
// It implements the contract of package sandbox above it and knows nothing of trials. A container
// shares the host's kernel: isolation level 1. Images are pulled when absent; a Dockerfile is built once for
// each content digest. No network is made for a sandbox, so that any number of them fit an engine's address pool.
package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
	"golang.org/x/sync/semaphore"

	"oddish/internal/flight"
	"oddish/internal/sandbox"
	"oddish/internal/sandbox/compose"
)

// Kind is the name of this sandbox kind.
const Kind = "docker"

// Labels on everything that this package makes.
const (
	labelOwner  = "oddish.owner"
	labelName   = "oddish.name"
	labelDigest = "oddish.digest"
)

// buildsAtOnce bounds image builds: they use every core by themselves.
const buildsAtOnce = 2

// Config of a Provider.
type Config struct {
	// Host is the engine's address (unix:///path or tcp://host:port). Empty: DOCKER_HOST, else the default socket.
	Host string
	// Program is the file of a program that calls Dispatch and needs no libraries; it is mounted into containers that get a
	// service. Empty: this program.
	Program string
	// ComposeUnsafe: compose files of tasks may use what reaches beyond their sandbox, such as privileged services and files of this machine.
	ComposeUnsafe bool
	// Bridge: containers with the public network are on the engine's bridge, and not behind a network stack of ours, which is always so with an
	// engine on another machine.
	Bridge bool
	// Dir is the folder in which it is remembered which images of the engine were pulled for this installation, and when each was used; empty:
	// it is not remembered, and pulled images are not removed.
	Dir string
	// MinFree is how many bytes must be free on the disk of the engine for a container to be made, where the engine is on this machine; less
	// is sandbox.ErrDiskFull. 0: it is not looked at.
	MinFree int64
	// Log takes what happens to images. Nil discards.
	Log *slog.Logger
}

// Provider starts containers. It is safe for concurrent use.
type Provider struct {
	engine  *client.Client
	log     *slog.Logger
	program string
	plugin  *compose.Plugin
	unsafe  bool                   // Config.ComposeUnsafe
	local   bool                   // the engine is on this machine
	bridge  bool                   // Config.Bridge
	minFree int64                  // Config.MinFree
	ledger  ledger                 // of Config.Dir
	gpus    atomic.Bool            // the engine can give them, as Check has found
	limits  atomic.Pointer[limits] // as Check has found; nil: those of an engine with root
	images  flight.Group[struct{}] // one pull or build of an image at a time
	builds  *semaphore.Weighted    // buildsAtOnce
	asking  sync.Mutex             // guards told
	told    *traits                // see ask
	subnet  func() string          // an address range for a network of a project, perhaps one that others have
}

var _ sandbox.Provider = (*Provider)(nil)

// New returns a provider for the engine; it does not speak to it yet (see Check).
// The error is about the configured address.
func New(c Config) (*Provider, error) {
	opts := []client.Opt{client.FromEnv}
	if c.Host != "" {
		opts = append(opts, client.WithHost(c.Host))
	}
	engine, err := client.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("docker engine address: %w", err)
	}
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	program := c.Program
	if program == "" {
		if program, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("file of this program: %w", err)
		}
	}
	local := strings.HasPrefix(engine.DaemonHost(), "unix://")
	return &Provider{
		local: local, bridge: c.Bridge || !local,
		engine: engine, log: log, program: program, builds: semaphore.NewWeighted(buildsAtOnce),
		plugin: &compose.Plugin{Host: engine.DaemonHost(), Getenv: os.Getenv}, unsafe: c.ComposeUnsafe, subnet: subnet, images: flight.Group[struct{}]{Limit: imageTimeout}, minFree: c.MinFree, ledger: ledgerIn(c.Dir, engine.DaemonHost()),
	}, nil
}

// Kind is "docker".
func (p *Provider) Kind() string { return Kind }

// Capabilities of containers. Whether there are GPUs, and limits that do not hold, is known once Check was called.
func (p *Provider) Capabilities() sandbox.Capabilities {
	held := p.limits.Load()
	if held == nil {
		held = &limits{cpu: true, memory: true}
	}
	return sandbox.Capabilities{
		Images:         true,
		Build:          true,
		Compose:        true,
		NoNetwork:      true,
		Allowlist:      p.local,
		DynamicNetwork: true,
		ServiceAddr:    serviceAddr,
		Programs:       true,
		CPULimit:       held.cpu,
		MemoryLimit:    held.memory,
		GPUs:           p.gpus.Load(),
		Isolation:      1,
	}
}

// checkTimeout bounds the question whether an engine answers, askTimeout those about what it can do, which take podman seconds.
const (
	checkTimeout = 5 * time.Second
	askTimeout   = 20 * time.Second
)

// Check says why no containers can be started: no engine answers, or it runs no Linux containers.
func (p *Provider) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	first, end := context.WithTimeout(ctx, checkTimeout)
	defer end()
	ping, err := p.engine.Ping(first, client.PingOptions{NegotiateAPIVersion: true})
	host := p.engine.DaemonHost()
	switch {
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("docker at %s refuses this user: add the user to the group docker, or use --env builtin", host)
	case cerrdefs.IsInvalidArgument(err):
		return fmt.Errorf("docker at %s is too old: update it to 19.03 or newer, or use --env builtin (%w)", host, err)
	case err != nil:
		return fmt.Errorf("docker is not reachable at %s: start it, or use --env builtin (%w)", host, err)
	case ping.OSType != "" && ping.OSType != "linux":
		return fmt.Errorf("docker at %s runs %s containers: switch it to Linux containers", host, ping.OSType)
	}
	info, err := p.engine.Info(ctx, client.InfoOptions{})
	if err != nil {
		return fmt.Errorf("docker at %s does not say what it can do: %w", host, err)
	}
	p.gpus.Store(hasGPUs(info.Info))
	held, err := p.enforced(ctx, info.Info)
	if err != nil {
		return fmt.Errorf("docker at %s does not say what it can do: %w", host, err)
	}
	p.limits.Store(&held)
	return nil
}

// hasGPUs reports whether the engine can give GPUs to containers: by NVIDIA's runtime, or by devices of theirs that it has found (CDI).
func hasGPUs(info system.Info) bool {
	if _, has := info.Runtimes["nvidia"]; has {
		return true
	}
	return slices.ContainsFunc(info.DiscoveredDevices, func(d system.DeviceInfo) bool { return strings.HasPrefix(d.ID, "nvidia.com/gpu") })
}
