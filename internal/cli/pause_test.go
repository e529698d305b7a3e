package cli

import (
	"strings"
	"testing"

	"oddish/api"
)

func TestWhoWatchesAPausedExperimentIsTold(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t)
	f.paused = true
	a, _, errs := testApp(t, "ODDISH_API_URL="+f.URL)
	conn, err := a.connect("", 0)
	if err != nil {
		t.Fatal(err)
	}
	fl := &follower{app: a, conn: conn, o: watchOptions{experiment: "exp1"}}
	fl.notePause(t.Context(), []api.Trial{{ID: "a-0", Status: api.StatusRunning}})
	if errs.String() != "" {
		t.Errorf("told although nothing waits: %s", errs)
	}
	fl.notePause(t.Context(), []api.Trial{{ID: "a-0", Status: api.StatusRunning}, {ID: "a-1", Status: api.StatusQueued}})
	if !strings.Contains(errs.String(), "experiment fake is paused: `oddish resume -e exp1` ends that") {
		t.Errorf("told %q", errs)
	}
}
