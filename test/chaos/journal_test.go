package chaos

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// note is a line of the fake sandbox's journal.
type note struct {
	At      time.Time
	PID     int
	Event   string
	Sandbox string
	Name    string
	Trial   string
	Process string
}

// stay is a sandbox (process is empty) or a process in one, from its start to its end.
type stay struct {
	pid            int
	name           string // of the attempt
	trial, process string
	start, end     time.Time // end is zero as long as there is none
	killed         bool      // it ended with the worker's process
	resumed        time.Time // when the worker's process was last continued; zero: it was never stopped
}

// readJournal pairs the notes. What a killed worker left without an end ended with it.
func (in *installation) readJournal() ([]*stay, error) {
	data, err := os.ReadFile(in.journal())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if end := bytes.LastIndexByte(data, '\n'); end >= 0 {
		data = data[:end+1] // the line after it may be under way
	}
	var all []*stay
	open := map[string]*stay{}
	for line := range bytes.Lines(data) {
		var n note
		if err := json.Unmarshal(line, &n); err != nil {
			return nil, fmt.Errorf("journal: %w: %s", err, line)
		}
		key := fmt.Sprint(n.PID, n.Sandbox, n.Process, n.Trial)
		if n.Event == "start" {
			s := &stay{pid: n.PID, name: n.Name, trial: n.Trial, process: n.Process, start: n.At}
			open[key] = s
			all = append(all, s)
		} else if s := open[key]; s != nil {
			s.end = n.At
			delete(open, key)
		} else {
			return nil, fmt.Errorf("journal: an end without a start: %s", line)
		}
	}
	in.addLives(all)
	return all, nil
}

func (in *installation) addLives(all []*stay) {
	lives := map[int][]life{}
	for _, m := range in.workers {
		m.mu.Lock()
		for _, l := range m.lives {
			lives[l.pid] = append(lives[l.pid], *l)
		}
		m.mu.Unlock()
	}
	for _, s := range all {
		for _, l := range lives[s.pid] { // several if the system has used the number again
			if s.start.Before(l.began) || !l.killed.IsZero() && s.start.After(l.killed) {
				continue
			}
			s.resumed = l.resumed
			if s.end.IsZero() && !l.killed.IsZero() {
				s.end, s.killed = l.killed, true
			}
		}
	}
}

// agentRun is an agent's process with the attempt that it belongs to.
type agentRun struct {
	*stay
	names   []string // of the queue key and of the pattern above it
	attempt attempt
	until   time.Time // when it no longer counts
}

// agentRuns finds the attempts of the agents' processes.
func (a *aftermath) agentRuns(stays []*stay) []*agentRun {
	byName := map[string]attempt{}
	for _, x := range a.attempts {
		byName[path.Base(x.dir)] = x
	}
	var runs []*agentRun
	for _, s := range stays {
		if s.process != "agent" {
			continue
		}
		x, found := byName[s.name]
		if !found || x.trial != s.trial {
			a.t.Errorf("an agent ran for %s at %s in the sandbox %s, which belongs to no attempt of it", s.trial, s.start, s.name)
			continue
		}
		r := &agentRun{stay: s, names: []string{a.keys[s.trial]}, attempt: x, until: s.end}
		if provider, _, ok := strings.Cut(r.names[0], "/"); ok {
			r.names = append(r.names, provider+"/*")
		}
		if x.finished.Before(r.until) {
			r.until = x.finished
		}
		runs = append(runs, r)
	}
	return runs
}

// limitAt knows what limits were in force when.
type limitAt map[string][]limitChange

type limitChange struct {
	at time.Time
	to int
}

// highest is the highest limit in force at any moment between two times.
func (l limitAt) highest(name string, from, to time.Time) (limit int, ok bool) {
	for _, c := range l[name] { // in order
		switch {
		case !c.at.After(from):
			limit, ok = c.to, true
		case c.at.Before(to):
			limit, ok = max(limit, c.to), true
		}
	}
	return limit, ok
}

// commitTime is how much later than its noted time a change of a limit may have come into force: it waits for locks.
const commitTime = lease + 5*time.Second

// checkOverlap wants that agents' processes, as the sandboxes have seen them, never were more than the limits allowed. A run counts until its attempt was
// closed: when a lease ends nobody can know whether a stopped worker will come back to its sandbox. Nor does one count that began after that: its
// worker was stopped between claim and answer, and learns at its next heartbeat that it came too late.
func (a *aftermath) checkOverlap(runs []*agentRun) {
	slices.SortFunc(runs, func(x, y *agentRun) int { return cmp.Or(x.start.Compare(y.start), cmp.Compare(x.trial, y.trial)) })
	limits := a.limitChanges()
	a.overlap = map[string]int{}
	for i, r := range runs {
		if !r.until.After(r.start) {
			continue
		}
		at := map[string][]string{}
		for _, other := range runs[:i+1] {
			if other.until.After(r.start) {
				for _, name := range other.names {
					at[name] = append(at[name], other.String())
				}
			}
		}
		for _, name := range r.names {
			limit, known := limits.highest(name, r.attempt.started.Add(-commitTime), r.start)
			a.overlap[name] = max(a.overlap[name], len(at[name]))
			if known && len(at[name]) > limit {
				a.t.Errorf("%d agents ran at once under %s at %s, the limit was %d: %q", len(at[name]), name, r.start.Format(time.StampMilli), limit, at[name])
			}
		}
	}
}

func (r *agentRun) String() string {
	return fmt.Sprintf("%s attempt %d from %s to %s", r.trial, r.attempt.number, r.start.Format(time.StampMilli), r.until.Format(time.StampMilli))
}

// grace is how long the process of an agent may go on after its attempt was closed, from when its worker could know.
const grace = 10 * time.Second

// checkStragglers wants that an attempt was closed after its agent's process, unless its worker was lost, and then soon before it.
func (a *aftermath) checkStragglers(runs []*agentRun) {
	for _, r := range runs {
		if r.killed || !r.end.After(r.attempt.finished) {
			continue
		}
		a.stragglers++
		if r.attempt.errorType != "WorkerLost" {
			a.t.Errorf("the agent of %s attempt %d ran until %s, the attempt was closed at %s as %s (%s)", r.trial, r.attempt.number,
				r.end.Format(time.StampMilli), r.attempt.finished.Format(time.StampMilli), r.attempt.outcome, r.attempt.errorType)
		}
		known := slices.MaxFunc([]time.Time{r.attempt.finished, r.resumed, r.start}, time.Time.Compare)
		if late := r.end.Sub(known); late > grace {
			a.t.Errorf("the agent of %s attempt %d ran on for %s after its lease had ended", r.trial, r.attempt.number, late)
		}
	}
}
