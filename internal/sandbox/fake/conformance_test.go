package fake_test

import (
	"testing"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/fake"
	"oddish/internal/sandbox/sandboxtest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	sandboxtest.Run(t, sandboxtest.Config{
		Provider:    fake.New(),
		Image:       sandbox.Image{Host: true},
		NoProcesses: true,
	})
}
