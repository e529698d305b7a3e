package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"oddish/internal/config"
	"oddish/internal/image"
	"oddish/internal/sandbox"
	"oddish/internal/sandbox/builtin"
	"oddish/internal/sandbox/docker"
	"oddish/internal/sandbox/fake"
)

// sandboxKinds are the kinds that this program has, in the order in which a default is looked for; fake is
// never a default.
func sandboxKinds() []string { return []string{"docker", "builtin", "fake"} }

// checkTimeout bounds how long a provider may take to say whether it works here.
const checkTimeout = 30 * time.Second

// machine is where sandboxes keep what is theirs.
type machine struct {
	dataDir string
	mirrors map[string]string // of image registries
	unsafe  bool              // of compose files, see docker.Config
	bridge  bool              // docker.Config.Bridge
	minFree int64             // bytes that must be free on the disks of sandboxes
	log     *slog.Logger
}

func machineOf(cfg config.Config, dataDir string, log *slog.Logger) machine {
	return machine{dataDir: dataDir, mirrors: cfg.RegistryMirrors, unsafe: cfg.ComposeUnsafe, bridge: cfg.DockerBridge, minFree: int64(cfg.MinFreeDisk), log: log}
}

// sandboxes makes the providers of the given kinds (none: all), preferred first, and says why others are left out. One that
// was asked for by name and does not work here is an error.
func sandboxes(ctx context.Context, m machine, only []string) (out []sandbox.Provider, reasons []string, err error) {
	kinds := only
	if len(kinds) == 0 {
		kinds = sandboxKinds()
	}
	for _, kind := range kinds {
		p, err := newProvider(ctx, kind, m)
		if err == nil {
			out = append(out, p)
			continue
		}
		if len(only) > 0 {
			return nil, nil, fmt.Errorf("sandbox %s: %w", kind, err)
		}
		reasons = append(reasons, kind+": "+err.Error())
	}
	return out, reasons, nil
}

// newProvider makes one provider and checks that it works on this machine.
func newProvider(ctx context.Context, kind string, m machine) (sandbox.Provider, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	p, err := makeProvider(kind, m)
	if err != nil {
		return nil, err
	}
	return p, p.Check(ctx)
}

func makeProvider(kind string, m machine) (sandbox.Provider, error) {
	log := m.log.With("sandbox", kind)
	switch kind {
	case "builtin":
		return newBuiltin(m)
	case "docker":
		return docker.New(docker.Config{Log: log, ComposeUnsafe: m.unsafe, Bridge: m.bridge, MinFree: m.minFree, Dir: dockerImages(m.dataDir)})
	case "fake":
		return fake.New(), nil
	}
	return nil, usagef("sandbox kind %q is unknown: want docker, builtin or fake", kind)
}

// dockerImages is where it is remembered which images of docker's are ours; empty without a data directory.
func dockerImages(dataDir string) string {
	if dataDir == "" {
		return ""
	}
	return filepath.Join(dataDir, dockerImagesFolder)
}

// newBuiltin makes the provider of builtin sandboxes with its store of images.
func newBuiltin(m machine) (*builtin.Provider, error) {
	dir := filepath.Join(m.dataDir, "sandboxes")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	images, err := openImages(m)
	if err != nil {
		return nil, err
	}
	return builtin.New(builtin.Config{Dir: dir, Hide: []string{m.dataDir}, Images: images, MinFree: m.minFree, Log: m.log.With("sandbox", builtin.Kind)})
}

func openImages(m machine) (*image.Store, error) {
	return image.Open(image.Config{Dir: filepath.Join(m.dataDir, imagesFolder), Mirrors: m.mirrors, Log: m.log})
}

// journalFake lets the fake sandbox among the providers append to the journal of that name; empty: none. The file stays open
// as long as the process lives.
func journalFake(providers []sandbox.Provider, name string) error {
	if name == "" {
		return nil
	}
	for _, p := range providers {
		p, ok := p.(*fake.Provider)
		if !ok {
			continue
		}
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return failf("set ODDISH_FAKE_JOURNAL to a file that you may write to", "journal of the fake sandbox: %v", err)
		}
		p.Journal(f)
	}
	return nil
}

// warnDocker says at once what would otherwise show as trials that wait for ever: docker is asked for by name, and the machine
// on which the server runs has none. Another worker may have one all the same.
func (a *App) warnDocker(ctx context.Context, c connection, p *runPlan) {
	if !c.endpoint.local || p.sweep.Environment == nil || *p.sweep.Environment != docker.Kind {
		return
	}
	if _, err := newProvider(ctx, docker.Kind, machine{log: slog.New(slog.DiscardHandler)}); err != nil {
		a.warn("%v. Without a worker that has docker the trials wait", err)
	}
}

// defaultKind is the kind of trials that ask for none: the configured one, else docker where it answers, else builtin. ok is false
// if this machine cannot run it.
func defaultKind(configured string, offered []sandbox.Provider) (kind string, ok bool) {
	for _, p := range offered {
		if p.Kind() == configured || configured == "" && p.Kind() != fake.Kind {
			return p.Kind(), true
		}
	}
	return firstNonEmpty(configured, builtin.Kind), false
}

// stopSandboxes removes every sandbox of this installation, also those that killed workers left, and returns how many.
func stopSandboxes(ctx context.Context, dataDir string, log *slog.Logger) (int, error) {
	providers, _, err := sandboxes(ctx, machine{dataDir: dataDir, log: log}, nil)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, p := range providers {
		list, err := p.List(ctx, ownerOf(dataDir))
		if err != nil {
			return n, fmt.Errorf("list %s sandboxes: %w", p.Kind(), err)
		}
		for _, info := range list {
			if err := removeSandbox(ctx, p, info.ID); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}

func removeSandbox(ctx context.Context, p sandbox.Provider, id string) error {
	box, err := p.Attach(ctx, id)
	if err != nil {
		return fmt.Errorf("attach to %s sandbox %s: %w", p.Kind(), id, err)
	}
	if err := box.Stop(ctx); err != nil {
		return fmt.Errorf("stop %s sandbox %s: %w", p.Kind(), id, err)
	}
	return nil
}
