package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"oddish/internal/llm"
	"oddish/internal/llm/fakellm"
	"oddish/internal/llm/gateway"
)

// replay opens a session that is answered from the recording of the one before.
func (r *rig) replay(t *testing.T, change ...func(*gateway.Trial)) {
	t.Helper()
	rec := recording(t, r)
	r.upstream.Close()
	r.log = &lockedBuffer{}
	r.session = r.open(append(change, func(trial *gateway.Trial) { trial.Replay, trial.Upstreams = rec, nil })...)
}

func TestAReplayResolvesHelperModelsAsThen(t *testing.T) {
	t.Parallel()
	title := `{"model":"gpt-5.4-nano","input":"A title for this"}`
	r := newRig(t, fakellm.Default(), quick(), record, func(trial *gateway.Trial) { trial.Model, trial.HelperModel = gpt, gpt })
	r.bothTurns(llm.Responses, true)
	want(t, "helper's status", r.post(llm.Responses, false, title).status, 200)
	for _, c := range r.fake.Calls() {
		want(t, "model at the provider", c.Model, gpt)
	}
	r.replay(t)
	r.bothTurns(llm.Responses, true)
	want(t, "helper's status in the replay", r.post(llm.Responses, false, title).status, 200)
	if d := r.session.Close().Divergence; d != nil {
		t.Errorf("divergence: %s", d)
	}
}

func TestWhatWasRefusedIsRefusedInTheReplay(t *testing.T) {
	t.Parallel()
	title, search := `{"model":"gpt-5.4-nano","input":"A title"}`, `{"model":"gpt-5","input":"x","tools":[{"type":"web_search"}]}`
	r := newRig(t, fakellm.Default(), quick(), record, func(trial *gateway.Trial) { trial.AllowedModels, trial.NoProviderTools = []string{gpt}, true })
	refused := []string{r.post(llm.Responses, false, title).body, r.post(llm.Responses, false, search).body}
	models := r.send(http.MethodGet, r.session.Path()+"/v1/models", "", nil).body
	r.post(llm.Responses, false, ask(llm.Responses, false, 0))
	r.replay(t)
	want(t, "refused model", r.post(llm.Responses, false, title).body, refused[0])
	want(t, "refused tool", r.post(llm.Responses, false, search).body, refused[1])
	want(t, "list of models", r.send(http.MethodGet, r.session.Path()+"/v1/models", "", nil).body, models)
	// Its own tools are none of the agent's doing, so they are not told apart.
	withSearch := strings.Replace(ask(llm.Responses, false, 0), `"tools":[`, `"tools":[{"type":"web_search"},`, 1)
	want(t, "status", r.post(llm.Responses, false, withSearch).status, 200)
	if d := r.session.Close().Divergence; d != nil {
		t.Errorf("divergence: %s", d)
	}
}

// leaveStream asks for a stream and leaves when it has begun.
func (r *rig) leaveStream(t *testing.T) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.front.URL+r.session.Path()+"/v1/messages", strings.NewReader(ask(llm.Anthropic, true, 0)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	got.Body.Close()
}

// An answer that nobody waited for was never whole, and asking again for the same is no divergence.
func TestAReplayEndsWhereTheAgentLeft(t *testing.T) {
	t.Parallel()
	r := newRig(t, withFault(fakellm.Fault{Kind: fakellm.Hang, After: 8, Times: 1}), quick(), record)
	r.leaveStream(t)
	for r.session.Total().Calls == 0 {
		time.Sleep(time.Millisecond)
	}
	want(t, "status", r.post(llm.Anthropic, true, ask(llm.Anthropic, true, 0)).status, 200)
	r.replay(t)
	r.leaveStream(t)
	for r.session.Total().Calls == 0 {
		time.Sleep(time.Millisecond)
	}
	if got := r.post(llm.Anthropic, true, ask(llm.Anthropic, true, 0)); got.status != 200 || got.err != nil {
		t.Errorf("the second time: status %d, %v", got.status, got.err)
	}
	sum := r.session.Close()
	want(t, "estimated", sum.Estimated, true)
	if sum.Divergence != nil {
		t.Errorf("divergence: %s", sum.Divergence)
	}
}

func TestAReplayIsCutWhereTheProviderCut(t *testing.T) {
	t.Parallel()
	r := newRig(t, withFault(fakellm.Fault{Kind: fakellm.Cut, After: 6}), quick(), record)
	was := r.post(llm.Anthropic, true, ask(llm.Anthropic, true, 0))
	r.replay(t)
	is := r.post(llm.Anthropic, true, ask(llm.Anthropic, true, 0))
	want(t, "body", is.body, was.body)
	if is.err == nil {
		t.Error("the answer ended as if whole")
	}
	want(t, "last failure", r.session.Close().LastFailure, gateway.Network)
}

// A process that goes on with a replay does not begin with the recording anew.
func TestAReplayGoesOnWhereAFormerSessionEnded(t *testing.T) {
	t.Parallel()
	script := fakellm.Default()
	script.Turns = []fakellm.Turn{{Text: "first"}}
	r := newRig(t, script, quick(), record)
	ask := ask(llm.Chat, false, 0)
	first := r.post(llm.Chat, false, ask).body
	second := r.post(llm.Chat, false, ask).body
	if first == second {
		t.Fatalf("both answers are %s", first)
	}
	rec := recording(t, r)
	r.log = &lockedBuffer{}
	r.session = r.open(func(trial *gateway.Trial) { trial.Replay = rec })
	want(t, "first answer", r.post(llm.Chat, false, ask).body, first)
	entries := r.entries()
	want(t, "number", entries[0].Replayed, 1)
	r.session = r.open(func(trial *gateway.Trial) { trial.Replay, trial.Replayed = rec, []int{entries[0].Replayed} })
	want(t, "second answer", r.post(llm.Chat, false, ask).body, second)
}

func TestARecordingOfAnotherVersionIsUnderstood(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakellm.Default(), quick(), record)
	was := r.post(llm.Chat, false, ask(llm.Chat, false, 0)).body
	r.session.Close()
	old := strings.Replace(r.log.String(), `"form":1`, `"form":0`, 1)
	old = strings.Replace(old, `"digest":"`, `"digest":"of another form `, 1)
	rec, err := loadLog(old)
	if err != nil {
		t.Fatal(err)
	}
	r.session = r.open(func(trial *gateway.Trial) { trial.Replay = rec })
	want(t, "answer", r.post(llm.Chat, false, ask(llm.Chat, false, 0)).body, was)
}
