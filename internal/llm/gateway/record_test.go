package gateway_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"oddish/internal/llm"
	"oddish/internal/llm/fakellm"
	"oddish/internal/llm/gateway"
)

func recording(t *testing.T, r *rig) *gateway.Recording {
	t.Helper()
	r.session.Close()
	rec, err := loadLog(r.log.String())
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func loadLog(log string) (*gateway.Recording, error) {
	return gateway.LoadRecording(strings.NewReader(log), int64(len(log)))
}

func record(trial *gateway.Trial) { trial.Record = true }

func TestARecordingReplaysWithoutAProvider(t *testing.T) {
	t.Parallel()
	eachDialect(t, func(t *testing.T, d llm.Dialect, stream bool) {
		r := newRig(t, withFault(fakellm.Fault{Kind: fakellm.RateLimit, Times: 1}), quick(), record)
		var was []string
		for turn := range 2 {
			was = append(was, r.post(d, stream, ask(d, stream, turn)).body)
		}
		recorded := r.session.Close()
		rec := recording(t, r)
		want(t, "exchanges", rec.Len(), 2)

		r.upstream.Close()
		r.session = r.open(func(trial *gateway.Trial) { trial.Replay, trial.Upstreams = rec, nil })
		for turn := range 2 {
			want(t, "answer", r.post(d, stream, ask(d, stream, turn)).body, was[turn])
		}
		replayed := r.session.Close()
		want(t, "tokens", replayed.Usage.Tokens(), recorded.Usage.Tokens())
		want(t, "cost source", replayed.CostSource, "replay")
		if replayed.CostUSD != nil {
			t.Errorf("a replay costs %v", *replayed.CostUSD)
		}
		if replayed.Divergence != nil {
			t.Errorf("divergence: %s", replayed.Divergence)
		}
	})
}

func TestAReplayPassesOverWhatChangesFromRunToRun(t *testing.T) {
	t.Parallel()
	prompt := func(text, user string) string {
		body, err := json.Marshal(object{"model": sonnet, "max_tokens": 1000, "metadata": object{"user_id": user},
			"tools": []object{{"name": "bash", "input_schema": object{}}}, "messages": []object{{"role": "user", "content": text}}})
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	r := newRig(t, fakellm.Default(), quick(), record)
	r.post(llm.Anthropic, false, prompt("Today is 2026-11-24. cwd /tmp/a1b2 id 123e4567-e89b-12d3-a456-426614174000", "x"))
	rec := recording(t, r)
	r.session = r.open(func(trial *gateway.Trial) { trial.Replay = rec })
	got := r.post(llm.Anthropic, false, prompt("Today is 2027-01-05. cwd /tmp/ffff id 00000000-e89b-12d3-a456-426614174000", "y"))
	want(t, "status", got.status, 200)
}

func TestAReplayTellsTheFirstDivergence(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakellm.Default(), quick(), record)
	r.bothTurns(llm.Chat, false)
	rec := recording(t, r)
	r.session = r.open(func(trial *gateway.Trial) { trial.Replay = rec })
	r.post(llm.Chat, false, ask(llm.Chat, false, 0))
	other := strings.Replace(ask(llm.Chat, false, 1), `"content":"ok"`, `"content":"not ok"`, 1)
	got := r.post(llm.Chat, false, other)
	want(t, "status", got.status, 400)
	d := r.session.Close().Divergence
	if d == nil {
		t.Fatal("no divergence is told")
	}
	if d.Asked == nil || d.Expected == nil {
		t.Errorf("asked %v, expected %v", d.Asked, d.Expected)
	}
	d.Asked, d.Expected = nil, nil
	want(t, "divergence", *d, gateway.DivergenceInfo{Request: 2, Recorded: 2, Path: "body.messages[1].content", Was: `"ok"`, Is: `"not ok"`})
	if !strings.Contains(got.body, "body.messages[1].content") {
		t.Errorf("the agent is told %s", got.body)
	}
}

func TestReplayOfMoreThanWasRecordedSaysSo(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakellm.Default(), quick(), record)
	r.post(llm.Chat, false, ask(llm.Chat, false, 0))
	rec := recording(t, r)
	r.session = r.open(func(trial *gateway.Trial) { trial.Replay = rec })
	r.post(llm.Chat, false, ask(llm.Chat, false, 0))
	r.post(llm.Chat, false, ask(llm.Chat, false, 1))
	want(t, "divergence", r.session.Close().Divergence.String(), "request 2 was not recorded: the recording ends before it")
}

func TestLoadRecordingRefusesWhatIsNone(t *testing.T) {
	t.Parallel()
	for in, says := range map[string]string{"": "no exchange", "{\"method\":\"POST\"}\n": "no exchange", "{}\n{": "line 2"} {
		if _, err := loadLog(in); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: error %v, want one that says %q", in, err, says)
		}
	}
}

func TestTheLogHasOneLineForEveryRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t, withFault(fakellm.Fault{Kind: fakellm.ServerError, Times: 1}), quick(), func(trial *gateway.Trial) {
		trial.Aliases = map[string]string{"claude": sonnet}
	})
	r.post(llm.Anthropic, true, askModel(llm.Anthropic, true, 0, "claude"))
	r.send("POST", r.session.Path()+"/v1/files", "", nil)
	list := r.entries()
	want(t, "lines", len(list), 2)
	e := list[0]
	want(t, "model", e.Model, "claude")
	want(t, "sent model", e.Sent, sonnet)
	want(t, "attempts", e.Attempts, 2)
	want(t, "status", e.Status, 200)
	want(t, "input", *e.Usage.InputTotal, 1253)
	want(t, "path", e.Path, "/v1/messages")
	if e.CostUSD == nil || e.Prices == "" || e.Events == 0 || e.FirstByte <= 0 || e.Duration < e.FirstByte || e.Exchange != nil {
		t.Errorf("entry %+v", e)
	}
	want(t, "status of no route", list[1].Status, 404)
	want(t, "failure of no route", list[1].Failure, gateway.NotAllowed)
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, fs.ErrPermission }

func TestALogThatCannotBeWrittenIsToldOnceAndHoldsUpNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakellm.Default(), quick(), func(trial *gateway.Trial) { trial.Log = brokenWriter{} })
	r.bothTurns(llm.Chat, false)
	r.session.Close()
	want(t, "warnings", strings.Count(r.slog.String(), "can't be written"), 1)
}

func TestKeysReachNobody(t *testing.T) {
	t.Parallel()
	faults := []fakellm.Fault{
		{}, {Kind: fakellm.EchoHeaders}, {Kind: fakellm.Auth}, {Kind: fakellm.RateLimit}, {Kind: fakellm.Drop}, {Kind: fakellm.Cut, After: 6}, {Kind: fakellm.ErrorBody},
	}
	for _, fault := range faults {
		t.Run(string(fault.Kind), func(t *testing.T) {
			t.Parallel()
			eachDialect(t, func(t *testing.T, d llm.Dialect, stream bool) {
				c := quick()
				c.Retry.Attempts = 2
				script := fakellm.Default()
				script.Turns[0].Text += " " + providerKey // a server that repeats the key in its answer
				if fault.Kind != "" {
					script.Faults = []fakellm.Fault{fault}
				}
				r := newRig(t, script, c, record)
				got := r.post(d, stream, ask(d, stream, 0))
				var all bytes.Buffer
				all.WriteString(got.body + r.slog.String())
				if err := got.header.Write(&all); err != nil {
					t.Fatal(err)
				}
				sum, err := json.Marshal(r.session.Close())
				if err = errors.Join(err, nil); err != nil {
					t.Fatal(err)
				}
				all.Write(sum)
				all.WriteString(r.log.String())
				if strings.Contains(all.String(), providerKey) {
					t.Errorf("the key is in %s", all.String())
				}
				for _, c := range r.fake.Calls() {
					if strings.Contains(string(c.Body)+c.Path, r.session.Token()) || headerHas(c.Header, r.session.Token()) {
						t.Error("the provider got the trial's token")
					}
				}
			})
		})
	}
}

func headerHas(h map[string][]string, word string) bool {
	for _, values := range h {
		if strings.Contains(strings.Join(values, " "), word) {
			return true
		}
	}
	return false
}
