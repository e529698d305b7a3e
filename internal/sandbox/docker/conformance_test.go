package docker_test

import (
	"testing"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/sandboxtest"
	"oddish/internal/sandbox/sandboxtest/machine"
)

// Harbor test list #25
func TestConformance(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	if err := p.Check(t.Context()); err != nil { // finds out what it can claim
		t.Fatal(err)
	}
	public := machine.Other(t)
	sandboxtest.Run(t, sandboxtest.Config{
		Provider:   p,
		Image:      sandbox.Image{Reference: baseImage},
		Other:      func(t testing.TB) sandbox.Provider { return newProvider(t) },
		PublicAddr: func(testing.TB) string { return public },
		Builds:     true,
		NoBuildKit: true, // the frontend of the tests' engine is too old for most of them; see buildkit_test.go
	})
}
