//go:build linux && (amd64 || arm64)

package builtin

import (
	"testing"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/sandboxtest"
)

// BenchmarkSandbox gives the figures of docs/performance.md.
func BenchmarkSandbox(b *testing.B) {
	sandboxtest.Bench(b, sandboxtest.Config{Provider: newProvider(b), Image: sandbox.Image{Host: true}})
}
