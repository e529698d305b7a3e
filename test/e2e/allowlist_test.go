package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// Harbor test list #26, #27
func TestAnAllowlistHoldsAndIsLogged(t *testing.T) {
	t.Parallel()
	r := recipe{
		environment: "network_mode = \"allowlist\"\nallowed_hosts = [\"only.example\"]\n",
		solve:       "(timeout 5 bash -c 'exec 3<>/dev/tcp/192.0.2.1/80' && echo reached; getent hosts foreign.example) >/app/out 2>/dev/null\ntrue\n",
		test:        "[ ! -s /app/out ] && echo 1 >/logs/verifier/reward.txt\n",
	}
	task := filepath.Join(r.folder(t, "allow"), "allow")
	eachKind(t, func(t *testing.T, kind string) {
		h := newHome(t, kind)
		d, trial := h.runOne(task, "oracle", "--max-attempts", "1", "--allow-agent-host", "other.example")
		passed().check(t, trial)
		dir := h.trialDir(d.ExperimentID, trial.Task)
		log := fileOf(t, dir, "network.jsonl")
		for _, want := range []string{`"address":"192.0.2.1"`, `"host":"foreign.example"`, `"allowed":false`} {
			if !strings.Contains(log, want) {
				t.Errorf("network.jsonl lacks %s:\n%s", want, log)
			}
		}
		if config := fileOf(t, dir, "config.json"); !strings.Contains(config, "other.example") {
			t.Errorf("config.json does not say what was opened besides: %s", config)
		}
		h.noSandboxLeft()
	})
}
