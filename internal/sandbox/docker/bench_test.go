package docker_test

import (
	"testing"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/sandboxtest"
)

// BenchmarkSandbox needs an engine as the tests do; see docs/performance.md.
func BenchmarkSandbox(b *testing.B) {
	sandboxtest.Bench(b, sandboxtest.Config{Provider: newProvider(b), Image: sandbox.Image{Reference: baseImage}})
}
