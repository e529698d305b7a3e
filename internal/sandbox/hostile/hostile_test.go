package hostile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"slices"
	"testing"

	"oddish/internal/sandbox"
)

// open is a provider whose sandboxes are none: commands run on this machine as they are.
type open struct{ level int }

func (open) Kind() string { return "open" }
func (o open) Capabilities() sandbox.Capabilities {
	return sandbox.Capabilities{NoNetwork: true, Isolation: o.level}
}
func (open) Check(context.Context) error { return nil }
func (open) Start(context.Context, sandbox.Spec) (sandbox.Sandbox, error) {
	return openBox{}, nil
}
func (open) Attach(context.Context, string) (sandbox.Sandbox, error) {
	return nil, sandbox.ErrNotFound
}
func (open) List(context.Context, string) ([]sandbox.Info, error) { return nil, nil }

type openBox struct{}

func (openBox) ID() string { return "open" }
func (openBox) Exec(ctx context.Context, c sandbox.Command) (int, error) {
	cmd := exec.CommandContext(ctx, "bash", "-c", c.Script)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = nil
	}
	_, _ = c.Stdout.Write(out.Bytes())
	return cmd.ProcessState.ExitCode(), err
}
func (openBox) Run(context.Context, sandbox.Process) (sandbox.Exit, error) {
	return sandbox.Exit{}, sandbox.ErrUnsupported
}
func (openBox) Upload(context.Context, string, io.Reader) error   { return sandbox.ErrUnsupported }
func (openBox) Download(context.Context, string, io.Writer) error { return sandbox.ErrUnsupported }
func (openBox) SetNetwork(context.Context, sandbox.Network) error { return sandbox.ErrUnsupported }
func (openBox) Stop(context.Context) error                        { return nil }

// The checks find what is open. Those that would harm this machine are not among them.
func TestWhatIsOpenIsFound(t *testing.T) {
	t.Parallel()
	harmless := []string{
		"files of this machine cannot be read", "processes of this machine cannot be seen", "the kernel is the sandbox's own",
		"without network nothing is reached, no name is asked for", "services of this machine are not reached",
	}
	for level, want := range map[int][]Result{2: {Broken, Broken, Broken, Broken, Broken}, 1: {Broken, Broken, Beyond, Broken, Beyond}} {
		g := &ground{Config: Config{Provider: open{level}, Owner: "test"}}
		if err := g.prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer g.clear()
		for i, name := range harmless {
			at := slices.IndexFunc(all(), func(k check) bool { return k.name == name })
			if f := g.find(t.Context(), all()[at]); f.Result != want[i] || f.Why == "" {
				t.Errorf("at level %d %s: %+v", level, name, f)
			}
		}
	}
}

func TestWhatIsNotClaimedIsNotTried(t *testing.T) {
	t.Parallel()
	g := &ground{Config: Config{Provider: open{1}}}
	k := check{name: "x", level: 1, claimed: func(c sandbox.Capabilities) bool { return c.MemoryLimit }, run: func(context.Context, *ground) error { t.Error("tried"); return nil }}
	if f := g.find(t.Context(), k); f.Result != NotApplicable {
		t.Errorf("finding is %+v", f)
	}
}
