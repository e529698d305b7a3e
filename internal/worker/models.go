package worker

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"oddish/api"
	"oddish/internal/agent"
	"oddish/internal/llm"
	"oddish/internal/llm/gateway"
	"oddish/internal/llm/transcript"
	"oddish/internal/llm/upstream"
	"oddish/internal/result"
	"oddish/internal/trial"
)

// modelDoor is the way of one job's trial to its model.
type modelDoor struct {
	gate *modelGate
	j    *job
	kind string // of the sandbox
	addr string // where the sandbox reaches services; empty: it does not
	home string // folder of the worker that the job was claimed by
	dir  string // trial directory
	job  string // folder of the job, for what is not kept; empty: nothing is written there

	recording *recording // that answers in the place of a provider; nil: none

	// Of the sessions that this process had for the trial before, one for each step.
	again     bool
	estimated bool // something of what they used is
}

var (
	_ trial.Models       = (*modelDoor)(nil)
	_ trial.ModelSession = (*modelSession)(nil)
)

// Open finds the provider and its key and opens a session with the gateway.
func (d *modelDoor) Open(r trial.ModelRequest) (trial.ModelSession, error) {
	if d.addr == "" {
		return nil, result.Errorf(result.UnsupportedTaskError,
			"a %s sandbox cannot reach the model gateway of this worker: use --env builtin or --env docker", d.kind)
	}
	if over := d.j.budgetExceeded(); over != "" && d.j.left == "" {
		return nil, result.Errorf(result.BudgetExceeded, "not started: the budget of the %s is used up", over)
	}
	found, dialects, err := d.find(r.Env)
	if err != nil {
		return nil, err
	}
	s := &modelSession{door: d, env: upstream.Strip(r.Env, d.j.Trial.Model), dialects: dialects}
	if s.socket, err = d.gate.listen(d.home); err != nil {
		return nil, result.Errorf(result.OSError, "%w", err)
	}
	if s.log, s.before, err = openModelLog(filepath.Join(d.dir, result.ModelLogFile), d.gate.prices); err != nil {
		return nil, result.Errorf(result.OSError, "%w", err)
	}
	if d.again { // nothing was killed between the sessions
		s.before.Estimated = d.estimated
	}
	s.step = r.Step
	s.record = d.openRecord(r.Step)
	if err := s.open(found, r.Online); err != nil {
		return nil, errors.Join(result.Errorf(result.ValueError, "%w", err), s.log.Close(), s.record.Close())
	}
	d.again = true
	d.j.setModels(s.session)
	return s, nil
}

// find gives the providers that the trial may use and the dialects that its agent may speak: in a replay those in which it spoke then.
func (d *modelDoor) find(env map[string]string) (upstream.Found, []llm.Dialect, error) {
	if d.recording != nil {
		return upstream.Found{}, d.recording.Dialects(), nil
	}
	spec := d.j.Trial
	found, err := upstream.Find(upstream.Request{Model: spec.Model, BaseURL: spec.AgentConfig.BaseURL, Env: env, Getenv: d.gate.getenv})
	var missing *upstream.MissingKeyError
	if errors.As(err, &missing) {
		return found, nil, result.Errorf(result.MissingAPIKeyError, "%w", err)
	}
	if err != nil {
		return found, nil, result.Errorf(result.ValueError, "%w", err)
	}
	for _, u := range found.Upstreams {
		d.j.secrets.Add(u.Key) // which a provider may repeat in what it says is wrong
	}
	var dialects []llm.Dialect
	for _, dialect := range llm.Dialects() {
		if _, has := found.Upstreams[dialect]; has {
			dialects = append(dialects, dialect)
		}
	}
	return found, dialects, nil
}

// modelSession is a session with the gateway, together with what former processes had for the same attempt.
type modelSession struct {
	door     *modelDoor
	session  *gateway.Session
	dialects []llm.Dialect
	socket   string
	env      map[string]string
	log      *os.File
	record   *transcript.Recorder // nil: what is said is not kept
	before   former
	step     int // that it is for
	meter    *meter
	limits   limitReports
	once     sync.Once
}

func (s *modelSession) open(found upstream.Found, online bool) error {
	j := s.door.j
	every := usageEvery
	if j.Trial.Budget != nil {
		every = 0 // so that the end of a budget that is shared is told to all at once
	}
	s.meter = newMeter(every, j.report.usage)
	t := gateway.Trial{
		ID: j.ID, Token: modelToken(j.Job), Upstreams: found.Upstreams,
		Budget: left(api.Lesser(j.Trial.AgentConfig.Budget, j.Trial.Budget), s.before.Total), NoProviderTools: !online,
		OnUsage:     func(t gateway.Total) { s.meter.note(s.wire(t)) },
		OnRateLimit: func(l gateway.RateLimit) { s.limits.note(l, j.report.rateLimited) },
		Transcript:  s.record, Log: s.log, Record: j.Trial.AgentConfig.RecordModel,
	}
	if s.door.recording != nil {
		t.Replay, t.Replayed = s.door.recording.Recording, s.before.replayed
	} else {
		chooseModels(&t, found, &j.Trial.AgentConfig)
	}
	var err error
	s.session, err = s.door.gate.gateway.Open(t)
	return err
}

// modelToken makes the trial's token from its lease, which is as hard to guess and the same in a process that goes on with the job.
func modelToken(j api.Job) string {
	if j.Lease == "" {
		return "" // the gateway draws one
	}
	mac := hmac.New(sha256.New, []byte(j.Lease))
	fmt.Fprintf(mac, "model gateway %s %d", j.ID, j.Attempt)
	return "odt_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(mac.Sum(nil)))
}

// Endpoint is where the agent reaches its model.
func (s *modelSession) Endpoint() agent.Endpoint {
	e := agent.Endpoint{BaseURL: "http://" + s.door.addr + s.session.Path(), Token: s.session.Token(), Dialects: s.dialects}
	e.Dial = func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", s.socket)
	}
	if p, found := s.door.gate.prices.Lookup(s.door.j.Trial.Model); found {
		e.ContextTokens, e.MaxOutput = p.Context, p.MaxOutput
	}
	return e
}

// Socket is the gateway's.
func (s *modelSession) Socket() string { return s.socket }

// Env is the agent's environment without keys and addresses of providers.
func (s *modelSession) Env() map[string]string { return s.env }

// Facts are what the gateway has seen.
func (s *modelSession) Facts() agent.Facts {
	sum := s.session.Summary()
	f := agent.Facts{
		Calls: s.before.Calls + sum.Calls, Failures: map[string]int64{}, LastStatus: sum.LastStatus,
		LastFailure: string(sum.LastFailure), LastMessage: sum.LastMessage, BudgetExceeded: sum.BudgetExceeded,
	}
	if sum.Divergence != nil {
		f.Divergence = sum.Divergence.String()
	}
	for kind, n := range sum.Failures {
		f.Failures[string(kind)] = n
	}
	return f
}

// Close ends the session.
func (s *modelSession) Close() api.Usage {
	sum := s.session.Close()
	s.once.Do(func() {
		s.door.j.setModels(nil)
		s.meter.close()
		if err := s.log.Close(); err != nil {
			s.door.j.log.Warn("log of model requests could not be closed", "error", err)
		}
		if err := s.record.Close(); err != nil {
			s.door.j.log.Warn("not all of the trial's model conversation was kept", "error", err)
		}
		if err := writeDivergence(s.door.dir, sum.Divergence); err != nil {
			s.door.j.log.Warn("where the replay left its recording could not be kept", "error", err)
		}
	})
	s.door.estimated = s.before.Estimated || sum.Estimated
	u := s.wire(sum.Total)
	u.Models = wireModels(append(s.before.models, sum.Models...))
	return u
}

// wire is what the server is told of the attempt.
func (s *modelSession) wire(t gateway.Total) api.Usage {
	if s.door.recording != nil {
		return wireUsage(together(s.before.Total, t), api.CostFromReplay, "")
	}
	return wireUsage(together(s.before.Total, t), costFromGateway, s.door.gate.prices.Version())
}

// modelRecord is the file of a job's folder with what the agent and its models have said in a step, for a trajectory.
func modelRecord(step int) string {
	if step == 0 {
		return "model-conversation.jsonl"
	}
	return fmt.Sprintf("model-conversation-%d.jsonl", step)
}

// openRecord opens the record of the trial's model conversation. A trial is worth more than its record, so that without one it runs as well.
func (d *modelDoor) openRecord(step int) *transcript.Recorder {
	if d.job == "" {
		return nil
	}
	record, err := d.gate.transcripts.Open(filepath.Join(d.job, modelRecord(step)))
	if err != nil {
		d.j.log.Warn("the trial's model conversation is not kept", "error", err)
		return nil
	}
	return record
}

// Conversation makes a trajectory of the record.
func (s *modelSession) Conversation(instruction string) (*agent.Log, error) {
	log := &agent.Log{}
	if s.record == nil {
		return log, nil
	}
	f, err := os.Open(filepath.Join(s.door.job, modelRecord(s.step)))
	if err != nil {
		return nil, fmt.Errorf("open the record of the model conversation: %w", err)
	}
	defer f.Close()
	log.Trajectory, log.Images, err = transcript.Build(f, instruction)
	return log, err
}
