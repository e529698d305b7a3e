package web

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"oddish/api"
)

const (
	// logTail is how much of the end of one log a trial's page shows.
	logTail = 64 << 10
	// logsShown is how many logs it shows; the list of files has all.
	logsShown = 12
	// filesShown is how many files it lists.
	filesShown = 500
)

type trialData struct {
	Trial      api.Trial
	Experiment api.Experiment
	Attempts   []Attempt
	Shown      int // the attempt whose phases, logs and files are shown; 0: none has started
	Last       bool
	Error      attemptError
	Phases     []phaseBar
	Rewards    []namedReward
	Steps      []stepRow
	Logs       []shownLog
	MoreLogs   int
	Files      []File
	MoreFiles  int
	Live       bool
}

type attemptError struct{ Type, Message string }

type namedReward struct {
	Name  string
	Value float64
}

// stepRow is a step of the attempt that is shown.
type stepRow struct {
	api.TrialStep
	Others          []namedReward // beside the one that stands for all
	Agent, Verifier *float64      // seconds; nil: it did not come to it
}

type shownLog struct {
	File
	Text string
	Cut  int64 // bytes left out before Text
	Open bool
}

// phaseBar is a phase of a trial, placed on a line of 1000 units that is the whole trial.
type phaseBar struct {
	Name        string
	Class       string
	Seconds     float64
	From, Width float64
}

func (p *Pages) trial(r *http.Request) (view, error) {
	ctx := r.Context()
	t, err := p.source.Trial(ctx, r.PathValue("id"))
	if err != nil {
		return view{}, err
	}
	d := trialData{Trial: t, Live: !t.Status.Terminal()}
	if d.Experiment, _, err = p.source.Experiment(ctx, t.ExperimentID); err != nil {
		return view{}, err
	}
	if d.Attempts, err = p.source.Attempts(ctx, t.ID); err != nil {
		return view{}, err
	}
	if err := d.choose(r.URL.Query().Get("attempt")); err != nil {
		return view{}, err
	}
	if d.Shown == 0 {
		return view{"trial.html", d}, nil
	}
	steps, err := p.source.Steps(ctx, t.ID, d.Shown)
	if err != nil {
		return view{}, err
	}
	d.Steps = stepRows(steps)
	files, err := p.source.Files(ctx, t.ID, d.Shown)
	if err != nil {
		return view{}, err
	}
	if d.Files = files; len(files) > filesShown {
		d.Files, d.MoreFiles = files[:filesShown], len(files)-filesShown
	}
	return view{"trial.html", d}, p.addLogs(ctx, &d, files)
}

// choose picks the attempt to show: the one asked for, else the last.
func (d *trialData) choose(asked string) error {
	if len(d.Attempts) == 0 {
		if asked != "" {
			return ErrNotFound
		}
		d.Error = attemptError{text(d.Trial.ErrorType), text(d.Trial.ErrorMessage)}
		return nil
	}
	i := len(d.Attempts) - 1
	if asked != "" {
		n, err := strconv.Atoi(asked)
		if err != nil {
			return badRequestf("attempt must be a number")
		}
		if i = slices.IndexFunc(d.Attempts, func(a Attempt) bool { return a.Number == n }); i < 0 {
			return ErrNotFound
		}
	}
	a := d.Attempts[i]
	d.Shown, d.Last = a.Number, i == len(d.Attempts)-1
	d.Error = attemptError{a.ErrorType, a.ErrorMessage}
	d.Phases = phaseBars(a.Phases)
	d.Rewards = namedRewards(a.Rewards)
	return nil
}

func namedRewards(rewards map[string]float64) []namedReward {
	var list []namedReward
	for _, name := range sortedKeys(rewards) {
		list = append(list, namedReward{name, rewards[name]})
	}
	return list
}

func stepRows(steps []api.TrialStep) []stepRow {
	var rows []stepRow
	for _, s := range steps {
		row := stepRow{TrialStep: s, Agent: secondsOf(s.PhaseTiming, "agent_execution"), Verifier: secondsOf(s.PhaseTiming, "verifier")}
		if len(s.Rewards) > 1 {
			row.Others = slices.DeleteFunc(namedRewards(s.Rewards), func(r namedReward) bool { return r.Name == "reward" })
		}
		rows = append(rows, row)
	}
	return rows
}

func secondsOf(phases map[string]api.Phase, name string) *float64 {
	p, ok := phases[name]
	if !ok {
		return nil
	}
	return &p.DurationSec
}

// addLogs reads the ends of the logs, those first that people look for first.
func (p *Pages) addLogs(ctx context.Context, d *trialData, files []File) error {
	var logs []File
	for _, f := range files {
		if f.IsLog && f.Size > 0 {
			logs = append(logs, f)
		}
	}
	slices.SortStableFunc(logs, func(a, b File) int { return logRank(a.Path) - logRank(b.Path) })
	if len(logs) > logsShown {
		logs, d.MoreLogs = logs[:logsShown], len(logs)-logsShown
	}
	for i, f := range logs {
		text, cut, err := p.source.Tail(ctx, d.Trial.ID, d.Shown, f.Path, logTail)
		if err != nil {
			return err
		}
		d.Logs = append(d.Logs, shownLog{File: f, Text: text, Cut: cut, Open: i == 0})
	}
	return nil
}

// logRank tells where a log stands; those of a step as if they were those of a task without steps.
func logRank(path string) int {
	if parts := strings.SplitN(path, "/", 3); parts[0] == "steps" && len(parts) == 3 {
		path = parts[2]
	}
	for i, first := range []string{"exception.txt", "verifier/test-stdout.txt", "verifier/test-stderr.txt", "agent/oracle.txt", "trial.log"} {
		if path == first {
			return i
		}
	}
	return 10
}

// phaseBars places the phases on a line, in the order in which they began.
func phaseBars(phases map[string]api.Phase) []phaseBar {
	if len(phases) == 0 {
		return nil
	}
	names := sortedKeys(phases)
	slices.SortStableFunc(names, func(a, b string) int { return phases[a].StartedAt.Compare(phases[b].StartedAt) })
	begin, end := phases[names[0]].StartedAt, time.Time{}
	for _, ph := range phases {
		if ph.FinishedAt.After(end) {
			end = ph.FinishedAt
		}
	}
	whole := max(end.Sub(begin).Seconds(), 0.001)
	var bars []phaseBar
	for _, name := range names {
		ph := phases[name]
		bars = append(bars, phaseBar{
			Name: phaseWord(name), Class: "p-" + name, Seconds: ph.DurationSec,
			From:  1000 * ph.StartedAt.Sub(begin).Seconds() / whole,
			Width: max(1000*ph.DurationSec/whole, 2), // a short one is still seen
		})
	}
	return bars
}

func phaseWord(name string) string {
	switch name {
	case "environment_setup":
		return "environment"
	case "agent_setup":
		return "agent setup"
	case "agent_execution":
		return "agent"
	}
	return name
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
