package worker

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"oddish/api"
	"oddish/internal/agent"
	"oddish/internal/llm"
	"oddish/internal/llm/gateway"
	"oddish/internal/llm/upstream"
	"oddish/internal/result"
	"oddish/internal/trial"
)

// modelLog is the file of the trial directory with a line for each request that the agent made of its model.
const modelLog = "model-requests.jsonl"

// modelDoor is the way of one job's trial to its model.
type modelDoor struct {
	gate *modelGate
	j    *job
	kind string // of the sandbox
	addr string // where the sandbox reaches services; empty: it does not
	home string // folder of the worker that the job was claimed by
	dir  string // trial directory
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
	spec := d.j.Trial
	found, err := upstream.Find(upstream.Request{Model: spec.Model, BaseURL: spec.AgentConfig.BaseURL, Env: r.Env, Getenv: d.gate.getenv})
	var missing *upstream.MissingKeyError
	if errors.As(err, &missing) {
		return nil, result.Errorf(result.MissingAPIKeyError, "%w", err)
	}
	if err != nil {
		return nil, result.Errorf(result.ValueError, "%w", err)
	}
	s := &modelSession{door: d, env: upstream.Strip(r.Env)}
	for _, dialect := range llm.Dialects() {
		if _, has := found.Upstreams[dialect]; has {
			s.dialects = append(s.dialects, dialect)
		}
	}
	if s.socket, err = d.gate.listen(d.home); err != nil {
		return nil, result.Errorf(result.OSError, "%w", err)
	}
	if s.log, s.before, err = openModelLog(filepath.Join(d.dir, modelLog)); err != nil {
		return nil, result.Errorf(result.OSError, "%w", err)
	}
	if err := s.open(found, r.Online); err != nil {
		return nil, errors.Join(result.Errorf(result.ValueError, "%w", err), s.log.Close())
	}
	d.j.setModels(s.session)
	return s, nil
}

// modelSession is a session with the gateway, together with what former processes had for the same attempt.
type modelSession struct {
	door     *modelDoor
	session  *gateway.Session
	dialects []llm.Dialect
	socket   string
	env      map[string]string
	log      *os.File
	before   gateway.Total // of former processes
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
		Budget: left(lesser(j.Trial.AgentConfig.Budget, j.Trial.Budget), s.before), NoProviderTools: !online,
		OnUsage:     func(t gateway.Total) { s.meter.note(wireUsage(together(s.before, t), s.door.gate.prices.Version())) },
		OnRateLimit: func(l gateway.RateLimit) { s.limits.note(l, j.report.rateLimited) },
		Log:         s.log, Record: j.Trial.AgentConfig.RecordModel,
	}
	if t.Budget.USD != nil {
		t.AllowedModels, t.NoProviderTools = s.door.gate.priced(found), true
	}
	var err error
	s.session, err = s.door.gate.gateway.Open(t)
	return err
}

// priced lists the models whose calls a budget of money can count: the trial's own and all of its provider's that have a price.
func (g *modelGate) priced(found upstream.Found) []string {
	var names []string
	if found.Model != "" {
		names = append(names, found.Model)
	}
	for _, p := range g.prices.Models() {
		sold := false
		for _, u := range found.Upstreams {
			sold = sold || u.Provider == p.Provider
		}
		if sold && !slices.Contains(names, p.Model) {
			names = append(names, p.Model)
		}
	}
	return names
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
	return agent.Endpoint{BaseURL: "http://" + s.door.addr + s.session.Path(), Token: s.session.Token(), Dialects: s.dialects}
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
	})
	return wireUsage(together(s.before, sum.Total), sum.PriceVersion)
}
