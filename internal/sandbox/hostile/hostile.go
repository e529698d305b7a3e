// Package hostile has what a program in a sandbox must not be able to do: a suite that runs against sandboxes of a provider on this machine.
//
// Each check starts sandboxes of its own, does in them what a hostile program would do, and looks from outside whether it came to anything. Nothing is harmed if
// it does: what is tried is harmless where it succeeds. Tests of providers and `oddish doctor --sandbox` run it. It knows the contract of package sandbox and
// no provider. Whether agents can change their rewards is a matter of trials, and tested with them.
package hostile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"oddish/internal/sandbox"
)

// Result of a check.
type Result string

// Results.
const (
	Holds         Result = "holds"
	Broken        Result = "broken"         // it should hold at the provider's level of isolation, and does not
	Beyond        Result = "beyond"         // it does not hold, and is only promised by a higher level
	NotApplicable Result = "not applicable" // the provider does not claim it on this machine
)

// Finding is what came of a check.
type Finding struct {
	Name   string `json:"name"`
	Level  int    `json:"level"` // of isolation, from which on it is promised
	Result Result `json:"result"`
	Why    string `json:"why,omitempty"`
}

// Config says where the suite runs.
type Config struct {
	Provider sandbox.Provider
	Image    sandbox.Image // with bash, perl and the usual small tools
	Owner    string        // of the sandboxes
	// Report, if set, is called with each finding, as it comes; never twice at once.
	Report func(Finding)
}

// check is one thing that must not work.
type check struct {
	name  string
	level int
	// claimed says whether the provider promises it at all here; nil: it does.
	claimed func(sandbox.Capabilities) bool
	// run returns nil if it holds, and otherwise what succeeded that should not.
	run func(ctx context.Context, g *ground) error
}

// checkTime bounds one check.
const checkTime = 2 * time.Minute

// Run runs all checks, some of them at once, and returns the findings in the order of the checks. The error says that nothing could be tried.
func Run(ctx context.Context, c Config) ([]Finding, error) {
	g := &ground{Config: c}
	if err := g.prepare(ctx); err != nil {
		return nil, err
	}
	defer g.clear()
	checks := all()
	findings := make([]Finding, len(checks))
	var mu sync.Mutex
	var group sync.WaitGroup
	slots := make(chan struct{}, 2)
	for i, k := range checks {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			findings[i] = g.find(ctx, k)
			mu.Lock()
			defer mu.Unlock()
			if c.Report != nil {
				c.Report(findings[i])
			}
		})
	}
	group.Wait()
	return findings, ctx.Err()
}

func (g *ground) find(ctx context.Context, k check) Finding {
	f := Finding{Name: k.name, Level: k.level, Result: Holds}
	if k.claimed != nil && !k.claimed(g.Provider.Capabilities()) {
		f.Result, f.Why = NotApplicable, "the "+g.Provider.Kind()+" sandbox does not claim it on this machine"
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	if err := k.run(ctx, g); err != nil {
		f.Result, f.Why = Broken, err.Error()
		if k.level > g.Provider.Capabilities().Isolation {
			f.Result = Beyond
		}
	}
	return f
}

// box starts a sandbox for a check. The caller calls stop.
func (g *ground) box(ctx context.Context, change ...func(*sandbox.Spec)) (box sandbox.Sandbox, stop func(), err error) {
	spec := sandbox.Spec{Name: fmt.Sprintf("hostile-%d-%d", os.Getpid(), g.next()), Owner: g.Owner, Image: g.Image, Network: sandbox.Network{Mode: sandbox.NetworkPublic}}
	for _, f := range change {
		f(&spec)
	}
	box, err = g.Provider.Start(ctx, spec)
	if err != nil {
		return nil, nil, fmt.Errorf("no sandbox could be started: %w", err)
	}
	return box, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		_ = box.Stop(ctx) // a check of its own
	}, nil
}

// says runs a script as root and gives what it wrote, whatever became of it.
func says(ctx context.Context, box sandbox.Sandbox, script string) (string, error) {
	var out bytes.Buffer
	_, err := box.Exec(ctx, sandbox.Command{Script: script, Dir: "/", User: "0", Stdout: &out, Stderr: &out})
	return out.String(), err
}

// in runs a script in a fresh sandbox, and gives an error unless what it wrote is good.
func (g *ground) in(ctx context.Context, script string, good func(said string) error, change ...func(*sandbox.Spec)) error {
	box, stop, err := g.box(ctx, change...)
	if err != nil {
		return err
	}
	defer stop()
	said, err := says(ctx, box, script)
	if err != nil {
		return fmt.Errorf("the program could not be run: %w", err)
	}
	return good(said)
}

// never wants that a text was not written.
func never(text, otherwise string) func(string) error {
	return func(said string) error {
		if strings.Contains(said, text) {
			return errors.New(otherwise)
		}
		return nil
	}
}
