package worker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"oddish/api"
	"oddish/client"
	"oddish/internal/llm"
	"oddish/internal/llm/fakellm"
	"oddish/internal/llm/gateway"
	"oddish/internal/result"
	"oddish/internal/trial"
)

// recorded runs a trial that asks once, with its requests kept, and gives their log and the answer.
func (d *doors) recorded() (log, answer string) {
	d.t.Helper()
	dir := d.t.TempDir()
	s := d.open(d.door(dir, func(s *api.TrialSpec) { s.AgentConfig.RecordModel = true }), trial.ModelRequest{})
	status, answer := ask(d.t, s)
	if status != http.StatusOK {
		d.t.Fatalf("answer is %d %s", status, answer)
	}
	s.Close()
	return filepath.Join(dir, result.ModelLogFile), answer
}

// replay gives a door to a recording, in a worker that has no key.
func (d *doors) replay(log, dir string) *modelDoor {
	d.t.Helper()
	d.env = nil
	door := d.door(dir, func(s *api.TrialSpec) { s.AgentConfig.Replay = "e" })
	rec, err := openRecording(log)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(rec.close)
	door.recording = rec
	return door
}

func TestAReplayIsAnsweredWithoutProviderKeyAndCost(t *testing.T) {
	t.Parallel()
	d := newDoors(t, fakellm.Default())
	log, answer := d.recorded()
	dir := t.TempDir()
	s := d.open(d.replay(log, dir), trial.ModelRequest{})
	if e := s.Endpoint(); !slices.Equal(e.Dialects, []llm.Dialect{llm.Anthropic}) {
		t.Errorf("the agent may speak %v", e.Dialects)
	}
	if status, again := ask(t, s); status != http.StatusOK || again != answer {
		t.Errorf("the answer was %s and is %d %s", answer, status, again)
	}
	told, u := d.model.Told(false), s.Close()
	if *u.InputTokens != told.Input || *u.OutputTokens != told.Output || *u.ModelCalls != 1 || u.CostUSD != nil || u.CostSource != api.CostFromReplay || u.PriceVersion != "" {
		t.Errorf("in the end it is %+v", u)
	}
	if len(u.Models) != 1 || u.Models[0].Model != "claude-sonnet-4-5" || u.Models[0].CostUSD != nil || u.Models[0].Price != nil {
		t.Errorf("its models are %+v", u.Models)
	}
	if live := d.newest(); live.CostSource != api.CostFromReplay || live.CostUSD != nil {
		t.Errorf("reported are %+v", live)
	}
	if _, err := os.Lstat(filepath.Join(dir, result.DivergenceFile)); err == nil {
		t.Error("a divergence is kept")
	}
}

func TestADivergenceIsAFactAndAFile(t *testing.T) {
	t.Parallel()
	d := newDoors(t, fakellm.Default())
	log, _ := d.recorded()
	dir := t.TempDir()
	s := d.open(d.replay(log, dir), trial.ModelRequest{})
	if status, answer := askFor(t, s, "claude-sonnet-4-5", "good-bye"); status != http.StatusBadRequest || !strings.Contains(answer, "left its recording") {
		t.Errorf("the answer is %d %s", status, answer)
	}
	s.Close()
	if f := s.Facts(); !strings.Contains(f.Divergence, "body.messages[0].content") {
		t.Errorf("facts are %+v", f)
	}
	data, err := os.ReadFile(filepath.Join(dir, result.DivergenceFile))
	if err != nil {
		t.Fatal(err)
	}
	var kept gateway.DivergenceInfo
	if err := json.Unmarshal(data, &kept); err != nil || kept.Was != `"hello"` || kept.Is != `"good-bye"` || kept.Asked == nil || kept.Expected == nil {
		t.Errorf("what is kept is %s, %v", data, err)
	}
}

// A worker that goes on with a replay answers with what is left of the recording.
func TestASuccessorGoesOnWithTheReplay(t *testing.T) {
	t.Parallel()
	d := newDoors(t, fakellm.Script{Turns: []fakellm.Turn{{Text: "hello"}}})
	source := t.TempDir()
	s := d.open(d.door(source, func(s *api.TrialSpec) { s.AgentConfig.RecordModel = true }), trial.ModelRequest{})
	var answers []string
	for range 2 {
		_, answer := ask(t, s)
		answers = append(answers, answer)
	}
	s.Close()
	dir, log := t.TempDir(), filepath.Join(source, result.ModelLogFile)
	for i, want := range answers {
		s := d.open(d.replay(log, dir), trial.ModelRequest{})
		if _, answer := ask(t, s); answer != want {
			t.Errorf("answer %d is %s, want %s", i+1, answer, want)
		}
		if u := s.Close(); *u.ModelCalls != int64(i+1) || u.CostUSD != nil || len(u.Models) != 1 || u.Models[0].ModelCalls != int64(i+1) {
			t.Errorf("after answer %d it is %+v", i+1, u)
		}
	}
}

// recordings is a server that gives a recording at the third request.
type recordings struct {
	Server
	asked int
	gone  bool
}

func (r *recordings) Recording(context.Context, string, string) (io.ReadCloser, error) {
	r.asked++
	switch {
	case r.gone:
		return nil, &client.Error{Status: http.StatusGone}
	case r.asked == 1:
		return nil, &client.Error{Status: http.StatusBadGateway}
	case r.asked == 2:
		return io.NopCloser(io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF))), nil
	}
	return io.NopCloser(strings.NewReader(`{"method":"POST","usage":{},"exchange":{"path":"messages","digest":"x","form":1}}` + "\n")), nil
}

func TestARecordingIsFetchedUntilItIsWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &doors{t: t}
		j := d.door("", func(s *api.TrialSpec) { s.AgentConfig.Replay = "e" }).j
		server := &recordings{}
		w := &Worker{c: Config{Server: server}}
		dir := t.TempDir()
		for range 2 { // the second time it is there
			rec, err := w.fetchRecording(j, dir)
			if err != nil || rec.Len() != 1 {
				t.Fatalf("the recording is %+v, %v", rec, err)
			}
			rec.close()
		}
		if server.asked != 3 {
			t.Errorf("the server was asked %d times", server.asked)
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
			t.Errorf("the folder has %v, %v", files, err)
		}
		w.c.Server = &recordings{gone: true}
		_, err := w.fetchRecording(j, t.TempDir())
		var f *failure
		if !errors.As(err, &f) || f.kind != errorRecording || f.class != api.ClassPermanent {
			t.Errorf("a recording that is gone: %v", err)
		}
	})
}
