package trial

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"oddish/internal/sandbox"
)

func TestTheSandboxOfATrialThatWentWrongIsKept(t *testing.T) {
	t.Parallel()
	pass, fail := "echo 1 >/logs/verifier/reward.txt", "echo 0.5 >/logs/verifier/reward.txt"
	for name, c := range map[string]struct {
		test  string
		apart bool
		full  bool // nothing more is kept
		want  string
	}{
		"passed":                          {pass, false, false, ""},
		"not passed":                      {fail, false, false, "demo__AbCdEfG"},
		"no reward":                       {"exit 3", false, false, "demo__AbCdEfG"},
		"passed, verified apart":          {pass, true, false, ""},
		"not passed, verified apart":      {fail, true, false, "demo__AbCdEfG"},
		"not passed, and no room for any": {fail, false, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newLocal(t)
			dir := writeTask(t, map[string]string{"tests/test.sh!": "#!/bin/bash\n" + c.test + "\n"})
			if c.apart {
				dir = separateTask(t, "", map[string]string{"tests/Dockerfile": "FROM scratch\n", "tests/test.sh!": "#!/bin/bash\n" + c.test + "\n"})
			}
			cfg := config(t, p, dir)
			kept := ""
			cfg.Keep = func(box sandbox.Sandbox) (time.Time, error) {
				if c.full {
					return time.Time{}, errors.New("as many as may be")
				}
				kept = box.ID()
				return time.Now(), nil
			}
			o := Run(t.Context(), cfg)
			for _, b := range p.boxes {
				isKept := b.ID() == kept && kept != ""
				if b.stopped == isKept {
					t.Errorf("sandbox %s: stopped %v, kept %v", b.spec.Name, b.stopped, isKept)
				}
				if isKept && b.spec.Name != c.want {
					t.Errorf("%s is kept", b.spec.Name)
				}
			}
			if (kept != "") != (c.want != "") {
				t.Errorf("kept is %q", kept)
			}
			if log := readFile(t, o, "trial.log"); strings.Contains(log, "the sandbox is kept") != (c.want != "") {
				t.Errorf("trial.log says\n%s", log)
			}
		})
	}
}

func TestTheSandboxOfACancelledTrialIsNotKept(t *testing.T) {
	t.Parallel()
	p := newLocal(t)
	cfg := config(t, p, writeTask(t, nil))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ErrCancelled)
	cfg.Keep = func(sandbox.Sandbox) (time.Time, error) { t.Error("kept"); return time.Time{}, nil }
	Run(ctx, cfg)
}
