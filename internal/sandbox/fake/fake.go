// Package fake is a sandbox without processes. It does what its options say after the time
// that they say: for tests of everything above the sandbox contract, and for load.
//
// It keeps files in memory, so that what is uploaded can be downloaded, and it runs no
// command: a Process labelled "agent" or "verifier" takes its scripted time and has
// its scripted end, the end of the verifier leaves a reward file, and every other command
// succeeds at once. It accepts every image. Options is the whole list of what can be scripted.
//
// A Journal tells which processes ran when, across programs that are killed.
//
// Nothing in it is random but the ids, and all waiting is on timers, so it works under testing/synctest.
package fake

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"

	"oddish/internal/sandbox"
)

// Kind is the name of the fake sandbox.
const Kind = "fake"

// TrialLabel is the label of a Spec that names the trial: fail_attempts counts its starts, and
// the number at its end chooses among several rewards.
const TrialLabel = "oddish.trial"

// Provider starts fake sandboxes. The zero value is not usable; see New.
type Provider struct {
	prefix string // of ids: a sandbox of a killed program must not be taken for another of the next

	mu      sync.Mutex
	boxes   map[string]*Box
	started int
	peak    int
	starts  map[string]int // by trial
	journal io.Writer      // nil: none
}

var _ sandbox.Provider = (*Provider)(nil)

// New gives a provider with no sandboxes.
func New() *Provider {
	return &Provider{prefix: "fake-" + rand.Text()[:8] + "-", boxes: map[string]*Box{}, starts: map[string]int{}}
}

// Kind is "fake".
func (p *Provider) Kind() string { return Kind }

// Capabilities says that it can do everything, since it does nothing.
func (p *Provider) Capabilities() sandbox.Capabilities {
	return sandbox.Capabilities{
		HostImage: true, Images: true, Build: true,
		NoNetwork: true, Allowlist: true, DynamicNetwork: true,
		CPULimit: true, MemoryLimit: true, StorageLimit: true, GPUs: true,
		ServiceAddr: "127.0.0.1:18080", // nothing in it will connect
		Remote:      true,              // it takes nothing of this machine
	}
}

// Check always succeeds.
func (p *Provider) Check(context.Context) error { return nil }

// Start waits for start_duration and then gives a sandbox, or the scripted error.
func (p *Provider) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if spec.Programs != "" {
		return nil, fmt.Errorf("%w: there are no programs in a fake sandbox", sandbox.ErrUnsupported)
	}
	o, err := parse(spec.Options)
	if err != nil {
		return nil, err
	}
	if o.failAttempts > 0 {
		if p.count(spec.Labels[TrialLabel]) > o.failAttempts {
			o = o.withoutFailures()
		} else if !o.fails() {
			o.startError = "scripted failure of an early attempt"
		}
	}
	if err := sandbox.Pause(ctx, o.startDuration); err != nil {
		return nil, err
	}
	if o.startError != "" {
		return nil, startError(o.startError)
	}
	b := newBox(p, spec, o)
	p.add(b)
	if err := b.note(EventStart, ""); err != nil {
		p.remove(b.id)
		return nil, err
	}
	return b, nil
}

func (p *Provider) add(b *Box) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.started++
	b.id = p.prefix + strconv.Itoa(p.started)
	p.boxes[b.id] = b
	p.peak = max(p.peak, len(p.boxes))
}

// count gives the how-manieth start of a trial this is.
func (p *Provider) count(trial string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starts[trial]++
	return p.starts[trial]
}

func startError(text string) error {
	switch text {
	case "build":
		return fmt.Errorf("scripted: %w", sandbox.ErrBuild)
	case "unsupported":
		return fmt.Errorf("scripted: %w", sandbox.ErrUnsupported)
	case "lost":
		return fmt.Errorf("scripted: %w", sandbox.ErrLost)
	}
	return fmt.Errorf("scripted: %s", text)
}

// Attach gives the running sandbox of that id.
func (p *Provider) Attach(_ context.Context, id string) (sandbox.Sandbox, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, ok := p.boxes[id]
	if !ok {
		return nil, fmt.Errorf("fake sandbox %s: %w", id, sandbox.ErrNotFound)
	}
	return b, nil
}

// List gives the sandboxes that were not stopped, in the order of their start.
func (p *Provider) List(_ context.Context, owner string) ([]sandbox.Info, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []sandbox.Info
	for _, b := range p.boxes {
		if owner == "" || b.spec.Owner == owner {
			list = append(list, b.info())
		}
	}
	slices.SortFunc(list, func(a, b sandbox.Info) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID))
	})
	return list, nil
}

// Running is how many sandboxes have started and not been stopped.
func (p *Provider) Running() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.boxes)
}

// Peak is the most sandboxes that were ever running at once.
func (p *Provider) Peak() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.peak
}

// Started is how many sandboxes have ever started.
func (p *Provider) Started() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.started
}

func (p *Provider) remove(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.boxes, id)
}
