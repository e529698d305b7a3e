package sandboxtest

import (
	"archive/tar"
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	osexec "os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"oddish/internal/sandbox"
)

// Bench measures a provider: the figures of docs/performance.md, the same for every kind, of the Image alone.
//
//	func BenchmarkSandbox(b *testing.B) { sandboxtest.Bench(b, sandboxtest.Config{...}) }
func Bench(b *testing.B, c Config) {
	m := &bench{c}
	b.Run("start-to-first-exec", func(b *testing.B) { m.starts(b, 1) })
	b.Run("start-to-first-exec-8", func(b *testing.B) { m.starts(b, 8) })
	b.Run("start-to-first-exec-32", func(b *testing.B) { m.starts(b, 32) })
	b.Run("stop", m.stop)
	b.Run("exec", m.exec)
	b.Run("exec-200-at-once", m.execs)
	b.Run("run", m.supervised)
	b.Run("upload-64MiB", func(b *testing.B) { m.upload(b, 1, benchBytes) })
	b.Run("upload-3000-files", func(b *testing.B) { m.upload(b, 3000, 2000) })
	b.Run("download-64MiB", m.download)
	b.Run("output-16MiB", m.output)
	b.Run("idle-16", func(b *testing.B) { m.idle(b, 16) })
	b.Run("idle-64", func(b *testing.B) { m.idle(b, 64) })
	for _, w := range benchWork {
		b.Run("work-"+w.program, func(b *testing.B) { m.work(b, w.program, w.script) })
	}
}

// benchBytes is the size of what is copied.
const benchBytes = 64 << 20

// benchWork is work as agents and tests do it, with the program that it needs.
var benchWork = []struct{ program, script string }{
	{"bash", `for i in $(seq 200); do /bin/true; done`},
	{"python3", `python3 -c 'import json, email, hashlib; print(len(json.dumps([hashlib.sha256(str(i).encode()).hexdigest() for i in range(200000)])))'`},
	{"node", `node -e 'const a = []; for (let i = 0; i < 2e6; i++) a.push(i * i); require("http"); console.log(JSON.stringify(a).length)'`},
	{"gcc", `d=$(mktemp -d) && cd $d && for i in $(seq 5); do printf '#include <stdio.h>\n#include <stdlib.h>\nint f%d(void) { return printf("x"); }\n' $i >$i.c && gcc -O2 -c $i.c || exit 1; done; rm -rf $d`},
	{"git", `d=$(mktemp -d) && cd $d && git init -q . && for i in $(seq 200); do seq $i >f$i; done && git add . &&
		git -c user.name=a -c user.email=a@b commit -qm x && git log -p | wc -c && git status --short; rm -rf $d`},
}

type bench struct{ Config }

func (m *bench) start(b *testing.B) sandbox.Sandbox {
	b.Helper()
	sb, err := m.Provider.Start(b.Context(), sandbox.Spec{Name: "bench", Owner: "sandboxtest-bench", Image: m.Image})
	if err != nil {
		b.Fatal(err)
	}
	return sb
}

func stopped(b *testing.B, sb sandbox.Sandbox) {
	if err := sb.Stop(context.Background()); err != nil {
		b.Error(err)
	}
}

// started starts one that lives as long as the benchmark.
func (m *bench) started(b *testing.B) sandbox.Sandbox {
	sb := m.start(b)
	b.Cleanup(func() { stopped(b, sb) })
	do(b, sb, "true")
	return sb
}

func do(b *testing.B, sb sandbox.Sandbox, script string) {
	out := &sandbox.Tail{Most: 400}
	code, err := sb.Exec(context.Background(), sandbox.Command{Script: script, Stdout: out, Stderr: out})
	if err != nil || code != 0 {
		b.Errorf("%q: status %d, %v: %s", script, code, err, out.Data)
	}
}

// starts measures the time until n that are started at once have all run a command.
func (m *bench) starts(b *testing.B, n int) {
	for b.Loop() {
		boxes := make([]sandbox.Sandbox, n)
		atOnce(n, func(i int) {
			spec := sandbox.Spec{Name: fmt.Sprintf("bench-%d", i), Owner: "sandboxtest-bench", Image: m.Image}
			sb, err := m.Provider.Start(b.Context(), spec)
			if err != nil {
				b.Error(err)
				return
			}
			boxes[i] = sb
			do(b, sb, "true")
		})
		b.StopTimer()
		if b.Failed() {
			b.FailNow()
		}
		atOnce(n, func(i int) { stopped(b, boxes[i]) })
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N*n), "ms/sandbox")
}

func atOnce(n int, f func(int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

// stop measures the end of one in which a process ignores TERM.
func (m *bench) stop(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		sb := m.start(b)
		do(b, sb, "(trap '' TERM; exec sleep 600) >/dev/null 2>&1 &")
		b.StartTimer()
		stopped(b, sb)
	}
}

func (m *bench) exec(b *testing.B) {
	sb := m.started(b)
	for b.Loop() {
		do(b, sb, "true")
	}
}

func (m *bench) execs(b *testing.B) {
	sb := m.started(b)
	for b.Loop() {
		atOnce(200, func(int) { do(b, sb, "true") })
	}
}

// supervised measures a long command that has nothing to do.
func (m *bench) supervised(b *testing.B) {
	sb, n := m.started(b), 0
	for b.Loop() {
		n++
		p := sandbox.Process{Name: "p" + strconv.Itoa(n), Command: sandbox.Command{Script: "true"}, Output: "/logs/agent/out.txt"}
		if _, err := sb.Run(b.Context(), p); err != nil {
			b.Fatal(err)
		}
	}
}

func (m *bench) upload(b *testing.B, files int, size int64) {
	sb := m.started(b)
	b.SetBytes(int64(files) * size)
	for b.Loop() {
		pr, pw := io.Pipe()
		go func() {
			w := bufio.NewWriterSize(pw, 1<<20)
			err := zeros(w, files, size)
			if err == nil {
				err = w.Flush()
			}
			pw.CloseWithError(err)
		}()
		if err := sb.Upload(b.Context(), "/tmp/up", pr); err != nil {
			b.Fatal(err)
		}
	}
}

func zeros(w io.Writer, files int, size int64) error {
	t := tar.NewWriter(w)
	for i := range files {
		if err := t.WriteHeader(&tar.Header{Name: "f" + strconv.Itoa(i), Typeflag: tar.TypeReg, Mode: 0o644, Size: size}); err != nil {
			return err
		}
		if _, err := t.Write(make([]byte, size)); err != nil {
			return err
		}
	}
	return t.Close()
}

func (m *bench) download(b *testing.B) {
	sb := m.started(b)
	do(b, sb, fmt.Sprintf("head -c %d /dev/zero >/tmp/big", benchBytes))
	b.SetBytes(benchBytes)
	for b.Loop() {
		if err := sb.Download(b.Context(), "/tmp/big", io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

func (m *bench) output(b *testing.B) {
	sb := m.started(b)
	b.SetBytes(16 << 20)
	for b.Loop() {
		code, err := sb.Exec(b.Context(), sandbox.Command{Script: "head -c 16777216 /dev/zero", Stdout: io.Discard})
		if err != nil || code != 0 {
			b.Fatal(code, err)
		}
	}
}

// idle measures what the machine's available memory loses by n sandboxes that do nothing.
func (m *bench) idle(b *testing.B, n int) {
	for b.Loop() {
		before := available(b)
		boxes := make([]sandbox.Sandbox, n)
		for i := range boxes {
			boxes[i] = m.start(b)
			do(b, boxes[i], "true")
		}
		b.ReportMetric(float64(before-available(b))/float64(n)/1024, "MB/sandbox")
		b.StopTimer()
		for _, sb := range boxes {
			stopped(b, sb)
		}
		b.StartTimer()
	}
}

// available is the memory that this machine has left, in KiB.
func available(b *testing.B) int64 {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		b.Skip(err)
	}
	_, rest, _ := strings.Cut(string(data), "MemAvailable:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return kib
}

// work measures a script inside and says how many times as long as on the machine itself it takes.
func (m *bench) work(b *testing.B, program, script string) {
	sb := m.started(b)
	if code, err := sb.Exec(b.Context(), sandbox.Command{Script: "command -v " + program}); err != nil || code != 0 {
		b.Skip("the image has no " + program)
	}
	native := func() time.Duration {
		begun := time.Now()
		if err := osexec.CommandContext(b.Context(), "bash", "-c", script).Run(); err != nil {
			b.Skipf("not on this machine: %v", err)
		}
		return time.Since(begun)
	}
	native() // files come into the cache
	do(b, sb, script)
	var here time.Duration
	for b.Loop() {
		b.StopTimer()
		here += native()
		b.StartTimer()
		do(b, sb, script)
	}
	b.ReportMetric(float64(b.Elapsed())/float64(here), "x-native")
}
