package worker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oddish/api"
	"oddish/internal/llm/fakellm"
	"oddish/internal/llm/gateway"
	"oddish/internal/result"
	"oddish/internal/trial"
)

const (
	workersKey = "sk-ant-key-of-the-worker"
	usersKey   = "sk-ant-key-of-the-user"
)

// doors is a gate with a scripted provider behind it, and a server that notes reports of progress.
type doors struct {
	Server // only Progress is used
	t      *testing.T
	gate   *modelGate
	model  *fakellm.Server
	env    map[string]string // the worker's
	home   string

	mu     sync.Mutex
	events []api.ProgressEvent
	ack    api.ProgressAck
	heard  chan struct{} // a token for each report
}

func newDoors(t *testing.T, script fakellm.Script) *doors {
	t.Helper()
	home, err := os.MkdirTemp("", "home") // a socket's path has little room
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	if script.Keys == nil {
		script.Keys = []string{workersKey, usersKey}
	}
	d := &doors{t: t, model: fakellm.New(script), home: home, heard: make(chan struct{}, 1000)}
	provider := httptest.NewServer(d.model)
	t.Cleanup(provider.Close)
	d.env = map[string]string{"ANTHROPIC_API_KEY": workersKey, "ANTHROPIC_BASE_URL": provider.URL}
	d.gate = newModelGate(nil, func(name string) (string, bool) { v, ok := d.env[name]; return v, ok }, slog.New(slog.DiscardHandler))
	t.Cleanup(d.gate.close)
	return d
}

func (d *doors) Progress(_ context.Context, _, _ string, p api.Progress) (api.ProgressAck, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, p.Events...)
	d.heard <- struct{}{}
	return d.ack, nil
}

func (d *doors) answer(ack api.ProgressAck) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ack = ack
}

// newest gives the usage that was reported last, once one was.
func (d *doors) newest() *api.Usage {
	d.t.Helper()
	for {
		d.mu.Lock()
		for i := len(d.events) - 1; i >= 0; i-- {
			if u := d.events[i].Usage; u != nil {
				d.mu.Unlock()
				return u
			}
		}
		d.mu.Unlock()
		<-d.heard
	}
}

// door gives the door of a job with a trial of Claude, whose files lie in dir.
func (d *doors) door(dir string, change func(*api.TrialSpec)) *modelDoor {
	d.t.Helper()
	spec := api.TrialSpec{TrialID: "t-0", TrialName: "t__0", ExperimentID: "e", Agent: "claude-code", Model: "anthropic/claude-sonnet-4-5"}
	if change != nil {
		change(&spec)
	}
	j := &job{Job: api.Job{ID: "t-0", Attempt: 1, Lease: "lease", Trial: spec}, log: slog.New(slog.DiscardHandler)}
	j.held, j.loseHeld = context.WithCancelCause(d.t.Context())
	j.run, j.stopRun = context.WithCancelCause(j.held)
	j.tellOver = j.exhaust
	j.report = newReporter(d, j)
	d.t.Cleanup(j.report.close)
	return &modelDoor{gate: d.gate, j: j, kind: "test", addr: "inside:80", home: d.home, dir: dir}
}

func (d *doors) open(door *modelDoor, r trial.ModelRequest) trial.ModelSession {
	d.t.Helper()
	s, err := door.Open(r)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { s.Close() })
	return s
}

// ask makes a model call as an agent would, through the socket, and gives status and answer.
func ask(t *testing.T, s trial.ModelSession) (int, string) {
	t.Helper()
	return askFor(t, s, "claude-sonnet-4-5", "hello")
}

func askFor(t *testing.T, s trial.ModelSession, model, prompt string) (int, string) {
	t.Helper()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.Socket())
		},
	}
	body := `{"model":"` + model + `","max_tokens":1000,"messages":[{"role":"user","content":"` + prompt + `"}],"tools":[{"name":"Bash","input_schema":{"type":"object"}}]}`
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Endpoint().BaseURL+"/v1/messages", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

func mustAsk(t *testing.T, s trial.ModelSession) {
	t.Helper()
	if status, answer := ask(t, s); status != http.StatusOK {
		t.Fatalf("answer is %d %s", status, answer)
	}
}

func TestAnAgentReachesItsModelAndNeverSeesAKey(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env map[string]string
		key string
	}{
		"with the worker's key":    {map[string]string{"A": "1"}, workersKey},
		"with a key of the user's": {map[string]string{"A": "1", "ANTHROPIC_API_KEY": usersKey}, usersKey},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDoors(t, fakellm.Script{Turns: fakellm.Default().Turns, Keys: []string{c.key}})
			dir := t.TempDir()
			s := d.open(d.door(dir, nil), trial.ModelRequest{Env: c.env, Online: true})
			if env := s.Env(); len(env) != 1 || env["A"] != "1" {
				t.Errorf("the agent's environment is %v", env)
			}
			e := s.Endpoint()
			if e.BaseURL != "http://inside:80/t/"+e.Token || len(e.Token) < 40 || len(e.Dialects) != 1 || e.Dialects[0] != "anthropic" {
				t.Errorf("endpoint is %+v", e)
			}
			mustAsk(t, s)
			told, u := d.model.Told(false), d.newest()
			if *u.InputTokens != told.Input || *u.OutputTokens != told.Output || *u.CacheTokens != told.CacheRead || *u.CacheWriteTokens != told.CacheWrite {
				t.Errorf("reported are %+v, told were %+v", u, told)
			}
			final := s.Close()
			if *final.InputTokens != told.Input || *final.ModelCalls != 1 || final.CostUSD == nil || *final.CostUSD <= 0 || final.CostSource != "gateway" || *final.CostEstimated {
				t.Errorf("in the end it is %+v", final)
			}
			if status, _ := ask(t, s); status != http.StatusUnauthorized {
				t.Errorf("after the end the token is answered with %d", status)
			}
			log, err := os.ReadFile(filepath.Join(dir, result.ModelLogFile))
			if err != nil || bytes.Count(log, []byte("\n")) != 1 || bytes.Contains(log, []byte(c.key)) || bytes.Contains(log, []byte(e.Token)) {
				t.Errorf("log is %s, %v", log, err)
			}
		})
	}
}

func TestWhatHasNoWayToItsModelIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spec      func(*api.TrialSpec)
		env       map[string]string
		door      func(*modelDoor)
		errorType string
		words     string
	}{
		"no key":                    {func(s *api.TrialSpec) { s.Model = "openai/gpt-5" }, nil, nil, result.MissingAPIKeyError, "OPENAI_API_KEY"},
		"unknown provider":          {func(s *api.TrialSpec) { s.Model = "acme/x" }, nil, nil, result.ValueError, "--base-url"},
		"a token that no API takes": {nil, map[string]string{"CLAUDE_CODE_OAUTH_TOKEN": "x"}, nil, result.ValueError, "CLAUDE_CODE_OAUTH_TOKEN"},
		"sandbox without services":  {nil, nil, func(d *modelDoor) { d.addr = "" }, result.UnsupportedTaskError, "model gateway"},
		"budget of money for a model of unknown price": {func(s *api.TrialSpec) {
			s.Model, s.AgentConfig.Budget = "anthropic/acme-1", &api.Budget{USD: new(1.0)}
		}, nil, nil, result.ValueError, "acme-1"},
		"used up budget": {nil, nil, func(d *modelDoor) { d.j.exhaust("experiment") }, result.BudgetExceeded, "experiment"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDoors(t, fakellm.Default())
			door := d.door(t.TempDir(), c.spec)
			if c.door != nil {
				c.door(door)
			}
			_, err := door.Open(trial.ModelRequest{Env: c.env})
			var e *result.Error
			if !errors.As(err, &e) || e.Type != c.errorType || !strings.Contains(e.Message, c.words) || e.Class != api.ClassPermanent {
				t.Errorf("error is %v", err)
			}
			if err != nil && strings.Contains(err.Error(), workersKey) {
				t.Error("the error shows the key")
			}
		})
	}
}

func TestAnAddressOfTheUsersGetsNoKeyOfTheWorkers(t *testing.T) {
	t.Parallel()
	d := newDoors(t, fakellm.Script{Turns: fakellm.Default().Turns, Keys: []string{usersKey}})
	own := func(s *api.TrialSpec) { s.AgentConfig.BaseURL = d.env["ANTHROPIC_BASE_URL"] }
	s := d.open(d.door(t.TempDir(), own), trial.ModelRequest{})
	if status, _ := ask(t, s); status != http.StatusUnauthorized {
		t.Errorf("the answer is %d: the worker's key was sent", status)
	}
	if f := s.Facts(); f.LastStatus != http.StatusUnauthorized || f.LastFailure != string(gateway.Auth) || f.Failures["auth"] != 1 || f.Calls != 0 {
		t.Errorf("facts are %+v", f)
	}
	s.Close()
	s = d.open(d.door(t.TempDir(), own), trial.ModelRequest{Env: map[string]string{"ANTHROPIC_API_KEY": usersKey}})
	mustAsk(t, s)
}

func TestATrialsBudgetStopsItsAgent(t *testing.T) {
	t.Parallel()
	d := newDoors(t, fakellm.Default())
	s := d.open(d.door(t.TempDir(), func(s *api.TrialSpec) { s.AgentConfig.Budget = &api.Budget{Calls: new(int64(1))} }), trial.ModelRequest{})
	mustAsk(t, s)
	if status, _ := ask(t, s); status != http.StatusBadRequest {
		t.Errorf("the second call is answered with %d", status)
	}
	if f := s.Facts(); f.BudgetExceeded != "calls" || f.Calls != 1 {
		t.Errorf("facts are %+v", f)
	}
}

func TestASharedBudgetStopsAnAgentAtTheServersWord(t *testing.T) {
	t.Parallel()
	d := newDoors(t, fakellm.Default())
	door := d.door(t.TempDir(), func(s *api.TrialSpec) { s.Budget = &api.Budget{USD: new(100.0)} })
	s := d.open(door, trial.ModelRequest{})
	d.answer(api.ProgressAck{BudgetExceeded: "experiment"})
	mustAsk(t, s)
	door.j.report.flush() // the answer has come
	if status, _ := ask(t, s); status != http.StatusBadRequest {
		t.Errorf("the second call is answered with %d", status)
	}
	if f := s.Facts(); f.BudgetExceeded != "experiment" {
		t.Errorf("facts are %+v", f)
	}
}

func TestARateLimitIsToldWhileTheTrialGoesOn(t *testing.T) {
	t.Parallel()
	script := fakellm.Default()
	script.Faults = []fakellm.Fault{{Kind: fakellm.RateLimit, Times: 1, RetryAfter: "1"}}
	d := newDoors(t, script)
	door := d.door(t.TempDir(), nil)
	s := d.open(door, trial.ModelRequest{})
	mustAsk(t, s)
	door.j.report.flush()
	d.mu.Lock()
	defer d.mu.Unlock()
	if l := d.events[0].RateLimited; l == nil || l.RetryAfterSec == nil || *l.RetryAfterSec != 1 {
		t.Errorf("events are %+v", d.events)
	}
}

func TestARecordedTrialKeepsWhatWasAskedAndAnswered(t *testing.T) {
	t.Parallel()
	d := newDoors(t, fakellm.Default())
	dir := t.TempDir()
	s := d.open(d.door(dir, func(s *api.TrialSpec) { s.AgentConfig.RecordModel = true }), trial.ModelRequest{})
	mustAsk(t, s)
	s.Close()
	rec, err := openRecording(filepath.Join(dir, result.ModelLogFile))
	if err != nil {
		t.Fatal(err)
	}
	defer rec.close()
	if rec.Len() != 1 {
		t.Errorf("the recording has %d exchanges", rec.Len())
	}
}

func TestASuccessorGoesOnWithTokenSocketAndSums(t *testing.T) {
	t.Parallel()
	d := newDoors(t, fakellm.Default())
	dir := t.TempDir()
	bound := func(s *api.TrialSpec) { s.AgentConfig.Budget = &api.Budget{Calls: new(int64(2))} }
	first := d.open(d.door(dir, bound), trial.ModelRequest{})
	mustAsk(t, first)
	d.gate.close() // the process ends, and leaves the socket
	f, err := os.OpenFile(filepath.Join(dir, result.ModelLogFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"half`); err != nil {
		t.Fatal(err)
	}
	f.Close()

	d.gate = newModelGate(nil, d.gate.getenv, slog.New(slog.DiscardHandler))
	t.Cleanup(d.gate.close)
	second := d.open(d.door(dir, bound), trial.ModelRequest{})
	if first.Endpoint().BaseURL != second.Endpoint().BaseURL || first.Socket() != second.Socket() {
		t.Errorf("the endpoint was %+v and is %+v", first.Endpoint(), second.Endpoint())
	}
	mustAsk(t, second)
	if status, _ := ask(t, second); status != http.StatusBadRequest {
		t.Errorf("the third call of two is answered with %d", status)
	}
	told, u := d.model.Told(false), second.Close()
	if *u.InputTokens != told.Input || *u.OutputTokens != told.Output || *u.ModelCalls != 2 || !*u.CostEstimated {
		t.Errorf("in the end it is %+v, told were %+v", u, told)
	}
}

func TestASocketsPathIsShort(t *testing.T) {
	t.Parallel()
	home := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	dir, err := socketDir(home)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(filepath.Dir(dir)) })
	again, err := socketDir(home)
	if err != nil || dir != again || strings.HasPrefix(dir, home) {
		t.Errorf("the folder is %s and then %s, %v", dir, again, err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := socketDir(home); err == nil {
		t.Error("a folder that others can write to is taken")
	}
}

func TestUsageIsReportedNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var all []int64
		m := newMeter(2*time.Second, func(u api.Usage) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, *u.InputTokens)
		})
		sent := func() []int64 {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(all)
		}
		for n := range int64(50) {
			m.note(api.Usage{InputTokens: &n})
			time.Sleep(100 * time.Millisecond)
		}
		if got := sent(); len(got) != 3 || got[0] != 0 || got[1] < 18 || got[2] < 38 {
			t.Errorf("reported are %v", got)
		}
		time.Sleep(time.Minute)
		if got := sent(); got[len(got)-1] != 49 {
			t.Errorf("the newest was not reported: %v", got)
		}
		m.note(api.Usage{InputTokens: new(int64(50))})
		m.note(api.Usage{InputTokens: new(int64(51))})
		m.close()
		time.Sleep(time.Minute)
		if got := sent(); got[len(got)-1] != 50 {
			t.Errorf("reported after the end: %v", got)
		}
	})
}

func TestOfABurstOfRateLimitsOneIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r limitReports
		n := 0
		note := func(wait time.Duration) { r.note(gateway.RateLimit{RetryAfter: wait}, func(api.RateLimited) { n++ }) }
		for range 10 {
			note(10 * time.Second)
		}
		if n != 1 {
			t.Errorf("%d were reported", n)
		}
		note(time.Minute)
		if n != 2 {
			t.Error("a longer wait is not reported")
		}
		time.Sleep(sameLimit)
		note(time.Second)
		if n != 3 {
			t.Error("a later one is not reported")
		}
	})
}
