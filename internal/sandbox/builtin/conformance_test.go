//go:build linux && (amd64 || arm64)

package builtin

import (
	"testing"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/sandboxtest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	sandboxtest.Run(t, sandboxtest.Config{
		Provider: newProvider(t),
		Image:    sandbox.Image{Host: true},
	})
}
