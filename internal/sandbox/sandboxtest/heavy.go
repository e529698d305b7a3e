package sandboxtest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"oddish/internal/sandbox"
)

// heavyVariable lets the heavy cases run, which take minutes and gigabytes.
const heavyVariable = "ODDISH_TEST_HEAVY"

// heavyCases run one after the other, each with the machine for itself.
func (s *suite) heavyCases() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"two hundred commands at once":     s.manyAtOnce,
		"a million lines of a process":     s.millionLines,
		"a gibibyte goes in and comes out": s.gibibyte,
	}
}

func (s *suite) heavy(t *testing.T) {
	t.Helper()
	if os.Getenv(heavyVariable) == "" {
		t.Skip(heavyVariable + " is not set")
	}
}

func (s *suite) manyAtOnce(t *testing.T) {
	s.heavy(t)
	sb := s.start(t)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			var out bytes.Buffer
			code, err := sb.Exec(t.Context(), sandbox.Command{Script: fmt.Sprintf("sleep 1; echo %d; exit %d", i, i%100), Stdout: &out})
			if err != nil || code != i%100 || out.String() != fmt.Sprintf("%d\n", i) {
				t.Errorf("command %d: status %d, output %q, %v", i, code, out.String(), err)
			}
		})
	}
	wg.Wait()
}

func (s *suite) millionLines(t *testing.T) {
	s.heavy(t)
	sb := s.start(t)
	exit, err := sb.Run(t.Context(), s.process("agent", "seq 1000000"))
	if err != nil || exit.Code != 0 {
		t.Fatalf("%+v, %v", exit, err)
	}
	got := strings.TrimSpace(sh(t, sb, "wc -l <"+outFile+"; tail -n 1 "+outFile))
	if got != "1000000\n1000000" {
		t.Errorf("kept are %q", got)
	}
}

// noise is a stream of n bytes that do not compress, always the same.
func noise(n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{1}), n)
}

func (s *suite) gibibyte(t *testing.T) {
	s.heavy(t)
	const size = 1 << 30
	sb := s.start(t)
	r, w := io.Pipe()
	go func() {
		out := tar.NewWriter(w)
		err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "big", Mode: 0o644, Size: size})
		if err == nil {
			_, err = io.Copy(out, noise(size))
		}
		if err == nil {
			err = out.Close()
		}
		w.CloseWithError(err)
	}()
	if err := sb.Upload(t.Context(), "/var/tmp/in", r); err != nil {
		t.Fatal(err)
	}
	want := digestOf(noise(size))
	if got := strings.Fields(sh(t, sb, "sha256sum /var/tmp/in/big"))[0]; got != want {
		t.Errorf("inside it is %s, want %s", got, want)
	}
	r, w = io.Pipe()
	go func() { w.CloseWithError(sb.Download(t.Context(), "/var/tmp/in/big", w)) }()
	in := tar.NewReader(r)
	if _, err := in.Next(); err != nil {
		t.Fatal(err)
	}
	if got := digestOf(in); got != want {
		t.Errorf("outside again it is %s, want %s", got, want)
	}
}

func digestOf(r io.Reader) string {
	sum := sha256.New()
	_, _ = io.Copy(sum, r) // a cut stream has another digest
	return hex.EncodeToString(sum.Sum(nil))
}
