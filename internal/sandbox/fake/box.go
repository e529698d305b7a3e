package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"oddish/internal/sandbox"
)

// Box is a fake sandbox.
type Box struct {
	provider *Provider
	id       string
	spec     sandbox.Spec
	options  options
	created  time.Time
	stopped  chan struct{}

	mu           sync.Mutex
	files        files
	processes    map[string]*process
	commands     []sandbox.Command
	network      sandbox.Network
	healthchecks int
	agentRan     bool // to status 0
	stop         sync.Once
}

var _ sandbox.Sandbox = (*Box)(nil)

func newBox(p *Provider, spec sandbox.Spec, o options) *Box {
	b := &Box{
		provider: p, spec: spec, options: o, created: time.Now(), network: spec.Network,
		stopped: make(chan struct{}), processes: map[string]*process{}, files: newFiles(),
	}
	for _, dir := range []string{"/logs/agent", "/logs/verifier", "/logs/artifacts", spec.Workdir} {
		if dir != "" {
			b.files.mkdir(dir)
		}
	}
	return b
}

// ID is unique in the provider.
func (b *Box) ID() string { return b.id }

// Exec succeeds at once. Of the labels of package trial it knows "healthcheck", which may be scripted to
// fail, "empty", which empties /logs/verifier and /tests, "reset", which empties all that is the harness's, and "is-dir", which asks about the path in
// the variable ODDISH_PATH.
func (b *Box) Exec(ctx context.Context, cmd sandbox.Command) (int, error) {
	if err := b.usable(ctx); err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.commands = append(b.commands, cmd)
	switch cmd.Label {
	case "healthcheck":
		if b.healthchecks++; b.healthchecks <= b.options.healthcheckFailures {
			return 1, nil
		}
	case "is-dir":
		if !b.files[cmd.Env["ODDISH_PATH"]].dir {
			return 1, nil
		}
	case "empty":
		b.files.clear("/logs/verifier")
		b.files.clear("/tests")
	case "reset":
		for _, dir := range []string{"/logs/agent", "/logs/artifacts", "/logs/verifier", "/tests", "/solution"} {
			b.files.clear(dir)
		}
	}
	return 0, nil
}

// Upload keeps the files of the stream.
func (b *Box) Upload(ctx context.Context, dst string, tar io.Reader) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	got, err := unpack(dst, tar)
	if err != nil {
		return fmt.Errorf("upload to %s: %w", dst, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.files.mkdir(dst)
	b.files.merge(got)
	return nil
}

// Download gives back what was uploaded and what the scripted processes left.
func (b *Box) Download(ctx context.Context, src string, tar io.Writer) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	b.mu.Lock()
	got, ok := b.files.below(src)
	b.mu.Unlock()
	if !ok {
		return fmt.Errorf("download %s: %w", src, sandbox.ErrNotFound)
	}
	return pack(tar, got)
}

// SetNetwork keeps the policy; see Network.
func (b *Box) SetNetwork(ctx context.Context, policy sandbox.Network) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.network = policy
	return nil
}

// Stop removes the sandbox.
func (b *Box) Stop(context.Context) error {
	var err error
	b.stop.Do(func() {
		close(b.stopped)
		b.provider.remove(b.id)
		err = errors.Join(b.endAll(), b.note(EventEnd, ""))
	})
	return err
}

// endAll notes the end of the processes that have not ended by themselves.
func (b *Box) endAll() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for _, proc := range b.processes {
		if !proc.ended {
			proc.ended = true
			errs = append(errs, b.note(EventEnd, proc.Label))
		}
	}
	return errors.Join(errs...)
}

// Spec is what the sandbox was started with.
func (b *Box) Spec() sandbox.Spec { return b.spec }

// Commands are the commands of Exec and Run so far, in order.
func (b *Box) Commands() []sandbox.Command {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]sandbox.Command(nil), b.commands...)
}

// Network is the policy in force.
func (b *Box) Network() sandbox.Network {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.network
}

// File gives the content of a file, by its absolute path.
func (b *Box) File(name string) ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f, ok := b.files[name]
	return f.data, ok && !f.dir
}

// WriteFile puts a file into the sandbox, as an agent would.
func (b *Box) WriteFile(name string, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.files.write(name, data, 0o644)
}

// usable is an error if ctx has ended or the sandbox is gone.
func (b *Box) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-b.stopped:
		return fmt.Errorf("fake sandbox %s was stopped: %w", b.id, sandbox.ErrLost)
	default:
	}
	if left, ever := b.lostIn(); ever && left <= 0 {
		return b.lost()
	}
	return nil
}

func (b *Box) lost() error { return fmt.Errorf("fake sandbox %s: %w", b.id, sandbox.ErrLost) }

// lostIn gives the time until the sandbox is lost; false if it never is.
func (b *Box) lostIn() (time.Duration, bool) {
	if b.options.lostAfter <= 0 {
		return 0, false
	}
	return time.Until(b.created.Add(b.options.lostAfter)), true
}

func (b *Box) info() sandbox.Info {
	left, ever := b.lostIn()
	return sandbox.Info{
		ID: b.id, Name: b.spec.Name, Owner: b.spec.Owner, Labels: b.spec.Labels,
		Created: b.created, Running: !ever || left > 0,
	}
}
