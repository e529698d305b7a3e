package docker_test

import (
	"context"
	"fmt"
	"testing"

	"oddish/internal/sandbox"
)

// The benchmarks need an engine as the tests do; see docs/performance.md.

func benchSpec() sandbox.Spec {
	return sandbox.Spec{Name: "bench", Owner: "bench", Image: sandbox.Image{Reference: baseImage}}
}

// BenchmarkDockerStart is the time from nothing to a running container; its removal is not counted.
func BenchmarkDockerStart(b *testing.B) {
	p := newProvider(b)
	for b.Loop() {
		sb, err := p.Start(b.Context(), benchSpec())
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := sb.Stop(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkDockerStop is the removal of a container whose process ignores TERM.
func BenchmarkDockerStop(b *testing.B) {
	p := newProvider(b)
	for b.Loop() {
		b.StopTimer()
		sb, err := p.Start(b.Context(), benchSpec())
		if err != nil {
			b.Fatal(err)
		}
		sh(b, sb, sandbox.Command{Script: "(trap '' TERM; exec sleep 600) >/dev/null 2>&1 &"})
		b.StartTimer()
		if err := sb.Stop(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDockerExec is one short command.
func BenchmarkDockerExec(b *testing.B) {
	sb := start(b, newProvider(b), benchSpec())
	for b.Loop() {
		sh(b, sb, sandbox.Command{Script: "true"})
	}
}

// BenchmarkDockerRun is one supervised command.
func BenchmarkDockerRun(b *testing.B) {
	sb := start(b, newProvider(b), benchSpec())
	n := 0
	for b.Loop() {
		n++
		_, err := sb.Run(b.Context(), sandbox.Process{
			Name:    fmt.Sprintf("p%d", n),
			Command: sandbox.Command{Script: "true"},
			Output:  "/logs/agent/out.txt",
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDockerStartParallel is the throughput of starts, eight at a time.
func BenchmarkDockerStartParallel(b *testing.B) {
	p := newProvider(b)
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			sb, err := p.Start(b.Context(), benchSpec())
			if err != nil {
				b.Error(err)
				return
			}
			if err := sb.Stop(context.Background()); err != nil {
				b.Error(err)
			}
		}
	})
}
