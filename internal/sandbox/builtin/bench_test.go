//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"io"
	"testing"

	"oddish/internal/sandbox"
)

func mustStart(b *testing.B, p *Provider) sandbox.Sandbox {
	b.Helper()
	s, err := p.Start(context.Background(), hostSpec("bench"))
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func mustExec(b *testing.B, s sandbox.Sandbox, script string) {
	b.Helper()
	code, err := s.Exec(context.Background(), sandbox.Command{Script: script})
	if err != nil || code != 0 {
		b.Fatal(code, err)
	}
}

func mustStop(b *testing.B, s sandbox.Sandbox) {
	b.Helper()
	if err := s.Stop(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkLife is a whole sandbox: started, one command, stopped.
func BenchmarkLife(b *testing.B) {
	p := newProvider(b)
	for b.Loop() {
		s := mustStart(b, p)
		mustExec(b, s, "true")
		mustStop(b, s)
	}
}

// BenchmarkStart is the time from the call to the first command's end.
func BenchmarkStart(b *testing.B) {
	p := newProvider(b)
	for b.Loop() {
		s := mustStart(b, p)
		mustExec(b, s, "true")
		b.StopTimer()
		mustStop(b, s)
		b.StartTimer()
	}
}

// BenchmarkStartParallel has several at once, as a worker with many slots does.
func BenchmarkStartParallel(b *testing.B) {
	p := newProvider(b)
	b.SetParallelism(4) // times GOMAXPROCS
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s, err := p.Start(context.Background(), hostSpec("bench"))
			if err != nil {
				b.Error(err)
				return
			}
			if err := s.Stop(context.Background()); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkStop(b *testing.B) {
	p := newProvider(b)
	for b.Loop() {
		b.StopTimer()
		s := mustStart(b, p)
		b.StartTimer()
		mustStop(b, s)
	}
}

func BenchmarkExec(b *testing.B) {
	s := mustStart(b, newProvider(b))
	defer s.Stop(context.Background())
	mustExec(b, s, "true")
	for b.Loop() {
		mustExec(b, s, "true")
	}
}

// BenchmarkOutput reads a command's output.
func BenchmarkOutput(b *testing.B) {
	const size = 16 << 20
	s := mustStart(b, newProvider(b))
	defer s.Stop(context.Background())
	b.SetBytes(size)
	for b.Loop() {
		code, err := s.Exec(context.Background(), sandbox.Command{Script: "head -c 16777216 /dev/zero", Stdout: io.Discard})
		if err != nil || code != 0 {
			b.Fatal(code, err)
		}
	}
}
