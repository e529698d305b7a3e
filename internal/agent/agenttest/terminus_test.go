//go:build linux && (amd64 || arm64)

package agenttest

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oddish/internal/agent"
	"oddish/internal/atif"
	"oddish/internal/llm"
	"oddish/internal/llm/fakellm"
	"oddish/internal/result"
)

// terminusScript writes hello to out.txt and says twice that it is done. Over its turns it counts 6000 tokens in and 60 out.
func terminusScript() fakellm.Script {
	used := fakellm.Usage{Input: 2000, CacheRead: 500, Output: 20}
	const work, done = `"commands":[{"keystrokes":"echo hello > out.txt\n","duration":0.2}]`, `"commands":[],"task_complete":true`
	turn := func(rest string) fakellm.Turn {
		return fakellm.Turn{Text: `{"analysis":"looking","plan":"working",` + rest + `}`, Usage: used}
	}
	return fakellm.Script{TextAgent: true, Turns: []fakellm.Turn{turn(work), turn(done), turn(done)}}
}

func terminusConfig(t *testing.T) Config {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("tmux is not installed, and the sandbox has this machine's tools")
	}
	return config(t, Config{Agent: "terminus-2", Model: "anthropic/claude-sonnet-4-5", Dialect: llm.Anthropic, Usage: true, Kwargs: map[string]any{"record_terminal_session": false}})
}

func TestTerminus(t *testing.T) {
	t.Parallel()
	c := terminusConfig(t)
	t.Run("it works and tells what it did", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, c, terminusScript())
		if err := r.run(t); err != nil {
			t.Fatalf("%v\ncalls: %v", err, statuses(r))
		}
		r.wantHello(t)
		log := r.report(t)
		if u := log.Usage; *u.InputTotal != 6000 || *u.OutputTotal != 60 || *u.CacheRead != 1500 {
			t.Errorf("it reports %d, %d, %d tokens", *u.InputTotal, *u.OutputTotal, *u.CacheRead)
		}
		steps := log.Trajectory.Steps
		if len(steps) != 4 || steps[1].Observation == nil || !strings.Contains(steps[1].Observation.Results[0].Content.Text, "echo hello > out.txt") {
			t.Errorf("steps are %+v", steps)
		}
		if log.Metadata["n_episodes"] != 3 {
			t.Errorf("metadata are %v", log.Metadata)
		}
		if pane := r.file(t, filepath.Join(agent.LogsDir, "terminus_2.pane")); !strings.Contains(pane, "echo hello") {
			t.Errorf("the terminal's log is %q", pane)
		}
	})
	for name, f := range map[fakellm.FaultKind]string{
		fakellm.Auth: result.AgentAuthenticationError, fakellm.UnknownModel: result.ModelNotFoundError, fakellm.Quota: result.APIUsageLimitError, fakellm.Context: result.ContextWindowExceededError,
	} {
		t.Run(f, func(t *testing.T) {
			t.Parallel()
			script := terminusScript()
			script.Faults = []fakellm.Fault{{Kind: name}}
			r := newRig(t, c, script)
			wantError(t, r, r.run(t), f)
		})
	}
	t.Run("a rate limit that ends is survived", func(t *testing.T) {
		t.Parallel()
		script := terminusScript()
		script.Faults = []fakellm.Fault{{Kind: fakellm.RateLimit, Times: 1, RetryAfter: "1"}}
		r := newRig(t, c, script)
		if err := r.run(t); err != nil {
			t.Fatalf("%v\ncalls: %v", err, statuses(r))
		}
		r.wantHello(t)
	})
	t.Run("at the timeout what was done remains", func(t *testing.T) {
		t.Parallel()
		script, second := terminusScript(), 1
		script.Faults = []fakellm.Fault{{Kind: fakellm.Hang, Turn: &second}}
		r := newRig(t, c, script)
		r.env.Timeout = 5 * time.Second
		wantError(t, r, r.run(t), result.AgentTimeoutError)
		r.wantHello(t)
		if log := r.report(t); len(log.Trajectory.Steps) != 2 || *log.Usage.InputTotal != 2000 {
			t.Errorf("it reports %+v", log)
		}
	})
}

// TestTerminusIsTakenUp ends the process while the model is asked for the second time; another goes on in the same terminal.
func TestTerminusIsTakenUp(t *testing.T) {
	t.Parallel()
	script, second := terminusScript(), 1
	script.Turns[0].Text = strings.Replace(script.Turns[0].Text, "> out.txt", ">> out.txt", 1)
	script.Faults = []fakellm.Fault{{Kind: fakellm.Hang, Turn: &second, Times: 1}}
	r := newRig(t, terminusConfig(t), script)
	ctx, kill := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.agent.Run(ctx, r.env, "Write hello to out.txt.") }()
	for len(r.fake.Calls()) < 2 {
		select {
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	kill()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	var err error
	if r.agent, err = agent.New("terminus-2", r.options); err != nil {
		t.Fatal(err)
	}
	if err := r.run(t); err != nil {
		t.Fatal(err)
	}
	r.wantHello(t)
	log := r.report(t)
	if n := len(log.Trajectory.Steps); n != 4 || log.Trajectory.Steps[0].Source != atif.SourceUser {
		t.Errorf("the trajectory has %d steps: %+v", n, log.Trajectory.Steps)
	}
}

// TestTerminusTypesWhatIsLong looks at what tmux makes of texts that are hard to type.
func TestTerminusTypesWhatIsLong(t *testing.T) {
	t.Parallel()
	script := terminusScript()
	commands := []string{
		`stty -echo; cat > long.txt\n`, strings.Repeat("a line with 'quotes' and $signs\\n", 900), `C-d`, `stty echo; printf '%s' \"a;b\" > semi.txt;`, `\n`, `wc -c long.txt\n`,
	}
	var list []string
	for _, c := range commands {
		list = append(list, `{"keystrokes":"`+c+`","duration":0.5}`)
	}
	script.Turns[0].Text = `{"analysis":"a","plan":"p","commands":[` + strings.Join(list, ",") + `]}`
	r := newRig(t, terminusConfig(t), script)
	if err := r.run(t); err != nil {
		t.Fatal(err)
	}
	if got := r.file(t, filepath.Join(workdir, "semi.txt")); got != "a;b" {
		t.Errorf("semi.txt is %q", got)
	}
	if got, want := r.file(t, filepath.Join(workdir, "long.txt")), strings.Repeat("a line with 'quotes' and $signs\n", 900); got != want {
		t.Errorf("long.txt has %d bytes, want %d", len(got), len(want))
	}
}
