package trial

import (
	"strings"
	"testing"

	"oddish/api"
	"oddish/internal/result"
)

func TestModesOfEnforcement(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mode    string
		limited bool
		memory  int64  // that the sandbox is given, in MiB
		refused string // instead
	}{
		"auto, limited":     {"auto", true, 512, ""},
		"auto, not limited": {"auto", false, 512, ""},
		"limit":             {"limit", true, 512, ""},
		"limit in vain":     {"limit", false, 0, "cannot limit memory on this machine"},
		"ignore":            {"ignore", true, 0, ""},
		"request":           {"request", true, 0, "no mode request for memory: it has limit, ignore and auto"},
		"guarantee":         {"guarantee", true, 0, "no mode guarantee for memory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newLocal(t)
			p.caps.MemoryLimit = c.limited
			files := taskFiles(nil)
			files["task.toml"] = strings.Replace(files["task.toml"], "[environment]\n", "[environment]\nmemory_mb = 512\n", 1)
			cfg := config(t, p, writeTask(t, files))
			cfg.Spec.Harbor.Environment = &api.EnvironmentConfig{MemoryPolicy: &c.mode}
			o := Run(t.Context(), cfg)
			if c.refused != "" {
				wantFinish(t, o.Finish, api.StatusFailed, result.UnsupportedTaskError, api.ClassPermanent)
				if !strings.Contains(o.Finish.ErrorMessage, c.refused) || len(p.boxes) != 0 {
					t.Errorf("%d sandboxes, error %q", len(p.boxes), o.Finish.ErrorMessage)
				}
				return
			}
			wantFinish(t, o.Finish, api.StatusSuccess, "", "")
			if got := p.boxes[0].spec.Resources.MemoryBytes >> 20; got != c.memory {
				t.Errorf("memory is bounded to %d MiB", got)
			}
		})
	}
}
