package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"oddish/api"
)

// compatStep is a request of the Python client, or something that happens in between. In want "*" stands for
// anything that is there, and an object may have more fields than listed.
type compatStep struct {
	Say    string
	Do     string // put, work; empty: a request
	Method string
	Path   string
	Body   json.RawMessage
	Status int
	Want   any
	Save   map[string]string // variable: field of the answer
}

func TestThePythonClientsRequestsAreAnsweredAsItExpects(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dir := taskDir(t, "c000", "x")
	vars := map[string]string{"hash": digest(t, dir)}
	f, err := os.Open("testdata/python_client.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text := lines.Text()
		for name, value := range vars {
			text = strings.ReplaceAll(text, "${"+name+"}", value)
		}
		var s compatStep
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		switch s.Do {
		case "put":
			do[struct{}](r, "PUT", vars["url"], archive(t, dir), "Content-Type", "application/gzip")
		case "work":
			r.workCompat()
		default:
			r.replay(s, vars)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) replay(s compatStep, vars map[string]string) {
	r.t.Helper()
	var body any
	if s.Body != nil {
		body = string(s.Body)
	}
	status, text, _ := r.request(s.Method, s.Path, body)
	if status != s.Status {
		r.t.Fatalf("%s: %s %s: %d, want %d: %s", s.Say, s.Method, s.Path, status, s.Status, text)
	}
	var got any
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		r.t.Fatalf("%s: %v", s.Say, err)
	}
	if why := differs("answer", s.Want, got); why != "" {
		r.t.Errorf("%s: %s %s: %s", s.Say, s.Method, s.Path, why)
	}
	for name, field := range s.Save {
		vars[name] = fmt.Sprint(got.(map[string]any)[field])
	}
}

// differs says where got is not as wanted; empty: nowhere.
func differs(at string, want, got any) string {
	switch w := want.(type) {
	case string:
		if w == "*" {
			return ""
		}
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is %v, want an object", at, got)
		}
		for key, value := range w {
			there, ok := g[key]
			if !ok {
				return at + "." + key + " is missing"
			}
			if why := differs(at+"."+key, value, there); why != "" {
				return why
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Sprintf("%s is %v, want %d elements", at, got, len(w))
		}
		for i := range w {
			if why := differs(fmt.Sprintf("%s[%d]", at, i), w[i], g[i]); why != "" {
				return why
			}
		}
		return ""
	}
	if !reflect.DeepEqual(want, got) {
		return fmt.Sprintf("%s is %v, want %v", at, got, want)
	}
	return ""
}

// workCompat runs everything that waits, as a worker with docker.
func (r *rig) workCompat() {
	r.t.Helper()
	claim := api.Claim{WorkerID: "w", Slots: 9, Sandboxes: []string{"docker"}}
	jobs := do[api.Claimed](r, "POST", "/worker/v1/claim", claim).Jobs
	slices.SortFunc(jobs, func(a, b api.Job) int { return strings.Compare(a.ID, b.ID) })
	now := time.Now()
	for i, j := range jobs {
		r.putFile(j, "agent/oracle.txt", "log")
		r.putFile(j, "result.json", `{"trial_name":"`+j.Trial.TrialName+`"}`)
		do[api.ProgressAck](r, "POST", jobPath(j, "events"), api.Progress{Events: []api.ProgressEvent{{Seq: 1, At: now, Stage: api.StageCompleted}}}, api.LeaseHeader, j.Lease)
		reward := 0.0
		if i == 0 {
			reward = 1
		}
		r.finish(j, api.Finish{Outcome: api.StatusSuccess, Rewards: map[string]float64{"reward": reward}, Phases: map[string]api.Phase{
			"agent_execution": {StartedAt: now, FinishedAt: now.Add(time.Second), DurationSec: 1},
			"verifier":        {StartedAt: now.Add(time.Second), FinishedAt: now.Add(2 * time.Second), DurationSec: 1},
		}})
	}
}
