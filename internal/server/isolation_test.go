package server

import (
	"testing"

	"oddish/api"
)

func TestSubmissionsToWeakSandboxesAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server  int
		run     *int
		kind    string
		refused bool
		want    int // that the trial demands of its worker
	}{
		"nothing is demanded":     {0, nil, "docker", false, 0},
		"the server demands less": {1, nil, "docker", false, 1},
		"the server demands more": {2, nil, "docker", true, 0},
		"the run demands more":    {0, ptr(2), "docker", true, 0},
		"the run's own counts":    {1, ptr(2), "builtin", false, 2},
		"the server's own counts": {2, ptr(0), "builtin", false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(s *Config) { s.MinIsolation = c.server })
			u := r.upload("a", "do a")
			sweep := api.Sweep{TaskID: u.TaskID, User: "me", Environment: &c.kind, Configs: []api.SweepConfig{{Agent: "oracle"}}}
			if c.run != nil {
				sweep.Harbor = &api.HarborConfig{Environment: &api.EnvironmentConfig{MinIsolation: c.run}}
			}
			if c.refused {
				contains(t, r.refuses(422, "POST", "/tasks/sweep", sweep), "isolates at level 1, and 2 or more is demanded")
				return
			}
			do[api.Submitted](r, "POST", "/tasks/sweep", sweep)
			claimed := do[api.Claimed](r, "POST", "/worker/v1/claim", api.Claim{WorkerID: "w", Hostname: "h", Version: "t", Slots: 1, Sandboxes: []string{c.kind}}).Jobs[0]
			got := 0
			if e := claimed.Trial.Harbor.Environment; e != nil && e.MinIsolation != nil {
				got = *e.MinIsolation
			}
			if got != c.want {
				t.Errorf("level %d is demanded, want %d", got, c.want)
			}
			r.finish(claimed, api.Finish{Outcome: api.StatusSuccess, Isolation: ptr(2)})
			if trial := do[api.Trial](r, "GET", "/trials/"+claimed.ID, nil); trial.Isolation == nil || *trial.Isolation != 2 {
				t.Errorf("the trial ran at level %v", trial.Isolation)
			}
		})
	}
}
