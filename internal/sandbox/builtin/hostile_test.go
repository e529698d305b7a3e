//go:build linux && (amd64 || arm64)

package builtin

import (
	"testing"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/hostile"
)

func TestHostilePrograms(t *testing.T) {
	t.Parallel()
	findings, err := hostile.Run(t.Context(), hostile.Config{Provider: newProvider(t), Image: sandbox.Image{Host: true}, Owner: "test"})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if f.Result != hostile.Holds {
			t.Errorf("%s: %s: %s", f.Name, f.Result, f.Why)
		}
	}
}
