//go:build linux && (amd64 || arm64)

package builtin

import (
	"testing"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/sandboxtest"
	"oddish/internal/sandbox/sandboxtest/machine"
)

// Harbor test list #25
func TestConformance(t *testing.T) {
	t.Parallel()
	p, public := newProvider(t), machine.Other(t)
	sandboxtest.Run(t, sandboxtest.Config{
		Provider: p,
		Image:    sandbox.Image{Host: true},
		Other: func(t testing.TB) sandbox.Provider {
			other, err := New(Config{Dir: p.dir})
			if err != nil {
				t.Fatal(err)
			}
			return other
		},
		PublicAddr: func(testing.TB) string { return public },
	})
}
