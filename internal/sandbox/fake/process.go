package fake

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"oddish/internal/sandbox"
)

// process is a Process that was started. Nothing runs: it ends at a time known from its start, and
// whoever waits for it then brings its end about.
type process struct {
	sandbox.Process
	begun    time.Time
	length   time.Duration
	forever  bool
	timedOut bool // its end is its timeout
	code     int
	oom      bool
	truncate bool
	ended    bool // and noted so
	finish   sync.Once
}

// Run takes the scripted time of the process with that name, counted from its first Run.
func (b *Box) Run(ctx context.Context, p sandbox.Process) (sandbox.Exit, error) {
	if err := b.usable(ctx); err != nil {
		return sandbox.Exit{}, err
	}
	proc, err := b.process(p)
	if err != nil {
		return sandbox.Exit{}, err
	}
	if p.Live != nil {
		fmt.Fprintf(p.Live, "fake %s started\n", p.Label)
	}
	if err := b.await(ctx, proc); err != nil {
		return sandbox.Exit{}, err
	}
	proc.finish.Do(func() { err = b.end(proc) })
	if err != nil {
		return sandbox.Exit{}, err
	}
	if p.Live != nil {
		p.Live.Write(bytes.TrimPrefix(b.output(proc), []byte(fmt.Sprintf("fake %s started\n", p.Label))))
	}
	if proc.oom {
		return sandbox.Exit{}, fmt.Errorf("process %s: %w", p.Name, sandbox.ErrOutOfMemory)
	}
	return sandbox.Exit{Code: proc.code, TimedOut: proc.timedOut, Truncated: proc.truncate}, nil
}

// process gives the process of that name, started if it was not.
func (b *Box) process(p sandbox.Process) (*process, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if proc := b.processes[p.Name]; proc != nil {
		return proc, nil
	}
	select {
	case <-b.stopped: // since Run looked
		return nil, b.lost()
	default:
	}
	if err := b.note(EventStart, p.Label); err != nil {
		return nil, err
	}
	b.commands = append(b.commands, p.Command)
	proc := &process{Process: p, begun: time.Now()}
	switch p.Label {
	case "agent":
		proc.length, proc.forever, proc.code = b.options.duration, b.options.agentHangs, b.options.agentExit
	case "verifier":
		proc.length, proc.forever, proc.code = b.options.verifyDuration, b.options.verifyHangs, b.options.verifyExit
	}
	if p.Timeout > 0 && (proc.forever || proc.length > p.Timeout) {
		proc.length, proc.forever, proc.timedOut, proc.code = p.Timeout, false, true, 137
	}
	proc.oom = b.options.oom == p.Label && !proc.timedOut
	b.processes[p.Name] = proc
	return proc, nil
}

// await returns at the end of the process, or with the error that comes before it.
func (b *Box) await(ctx context.Context, proc *process) error {
	var end, lost <-chan time.Time
	if !proc.forever {
		left := time.Until(proc.begun.Add(proc.length))
		if left <= 0 {
			return nil
		}
		t := time.NewTimer(left)
		defer t.Stop()
		end = t.C
	}
	if left, ever := b.lostIn(); ever {
		t := time.NewTimer(left)
		defer t.Stop()
		lost = t.C
	}
	select {
	case <-end:
		return nil
	case <-lost:
		return b.lost()
	case <-b.stopped:
		return b.lost()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end leaves what the process leaves: its output and, at the proper end of a verifier, a reward.
func (b *Box) end(proc *process) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.output(proc)
	limit := proc.OutputLimit
	if limit <= 0 {
		limit = sandbox.DefaultOutputLimit
	}
	if int64(len(out)) > limit {
		out, proc.truncate = out[:limit], true
	}
	b.files.write(proc.Output, out, 0o644)
	switch {
	case proc.oom || proc.timedOut:
	case proc.Label == "agent":
		b.agentRan = proc.code == 0
	case proc.Label == "verifier":
		b.leaveReward()
	}
	if proc.ended { // with its sandbox
		return nil
	}
	proc.ended = true
	return b.note(EventEnd, proc.Label)
}

func (b *Box) output(proc *process) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "fake %s started\n", proc.Label)
	if proc.Label == "agent" {
		line := strings.Repeat("x", 79) + "\n"
		for out.Len() < b.options.outputBytes {
			io.WriteString(&out, line[:min(len(line), b.options.outputBytes-out.Len())])
		}
	}
	return out.Bytes()
}

// leaveReward writes the scripted reward file.
func (b *Box) leaveReward() {
	const dir = "/logs/verifier"
	reward := b.options.reward
	if !b.options.hasReward {
		reward = "0"
		if b.agentRan {
			reward = "1"
		}
	}
	if list := strings.Split(reward, ","); len(list) > 1 && !json.Valid([]byte(reward)) {
		reward = strings.TrimSpace(list[number(b.spec.Labels[TrialLabel])%len(list)])
	}
	switch {
	case reward == "none":
	case reward == "empty":
		b.files.write(path.Join(dir, "reward.txt"), nil, 0o644)
	case strings.HasPrefix(reward, "{"):
		b.files.write(path.Join(dir, "reward.json"), []byte(reward), 0o644)
	default:
		b.files.write(path.Join(dir, "reward.txt"), []byte(reward+"\n"), 0o644)
	}
}

// number gives the digits at the end of a trial's id; 0 if there are none.
func number(id string) int {
	n, err := strconv.Atoi(id[len(strings.TrimRight(id, "0123456789")):])
	if err != nil {
		return 0
	}
	return n
}
