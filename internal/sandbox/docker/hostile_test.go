package docker_test

import (
	"testing"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/hostile"
)

// What a container shares with the machine it promises to keep apart at a higher level only; see docs/security.md.
func TestHostilePrograms(t *testing.T) {
	t.Parallel()
	findings, err := hostile.Run(t.Context(), hostile.Config{Provider: newProvider(t), Image: sandbox.Image{Reference: baseImage}, Owner: "test"})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		t.Logf("%s: %s %s", f.Name, f.Result, f.Why)
		if f.Result == hostile.Broken {
			t.Errorf("%s: %s", f.Name, f.Why)
		}
	}
}
