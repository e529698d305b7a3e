// Package sandboxtest is the conformance suite of package sandbox: what every provider
// must do, asked through the contract alone.
//
// A provider joins it with a few lines:
//
//	func TestConformance(t *testing.T) {
//		sandboxtest.Run(t, sandboxtest.Config{Provider: newProvider(t), Image: sandbox.Image{...}})
//	}
//
// What a provider's Capabilities do not claim is not asked, except that it is refused.
package sandboxtest

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"oddish/internal/sandbox"
)

// Config says what is tested.
type Config struct {
	Provider sandbox.Provider
	// Image of every sandbox. It must have bash, coreutils, tar, a user nobody and the group of the same id.
	Image sandbox.Image
	// NoProcesses: nothing is really run (the fake). Cases about processes are left out.
	NoProcesses bool
	// Other gives a provider over the same sandboxes that shares no memory with Provider, as another
	// process would have. Nil: Provider itself.
	Other func(testing.TB) sandbox.Provider
	// PublicAddr gives the numeric host:port of a TCP server that a sandbox with the public network
	// must reach, or "" if this machine has none. Nil: there is none.
	PublicAddr func(testing.TB) string
	// Builds: Dockerfiles are built, on an image debian:bookworm-slim that is there. NoBuildKit: but not those in BuildKit's extension of the language.
	Builds, NoBuildKit bool
	// LogsListed: what is tried is logged under allowlists alone.
	LogsListed bool
}

// suite is a run of the suite; its methods are the cases, a file for each subject.
type suite struct {
	Config
	owner string // of everything this run starts, so that List sees nothing else
}

// Run runs all cases as parallel subtests.
func Run(t *testing.T, c Config) {
	s := &suite{Config: c, owner: "sandboxtest-" + strings.ToLower(rand.Text())}
	groups := map[string]map[string]func(*testing.T){
		"life":    s.lifeCases(),
		"files":   s.fileCases(),
		"refused": s.refusedCases(),
		"again":   s.againCases(),
	}
	if !c.NoProcesses {
		groups["exec"] = s.execCases()
		groups["run"] = s.runCases()
		groups["network"] = s.networkCases()
		groups["limits"] = s.limitCases()
		groups["kill"] = s.killCases()
		groups["join"] = s.joinCases()
		groups["tree"] = s.treeCases()
		groups["reach"] = s.reachCases()
		groups["programs"] = s.programCases()
		groups["build"] = s.buildCases()
		if c.Builds {
			groups["builds"] = s.sharedBuildCases()
		}
		groups["terminal"] = s.terminalCases()
		groups["heavy"] = s.heavyCases()
	}
	n := 0
	for _, cases := range groups {
		n += len(cases)
	}
	t.Logf("%d cases", n)
	for group, cases := range groups {
		t.Run(group, func(t *testing.T) {
			t.Parallel()
			for name, fn := range cases {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					fn(t)
				})
			}
		})
	}
}

// spec is a sandbox as most cases want it.
func (s *suite) spec(t *testing.T) sandbox.Spec {
	return sandbox.Spec{
		Name:   strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()),
		Owner:  s.owner,
		Labels: map[string]string{"case": t.Name()},
		Image:  s.Image,
	}
}

// start starts a sandbox that lives as long as the test.
func (s *suite) start(t *testing.T, change ...func(*sandbox.Spec)) sandbox.Sandbox {
	t.Helper()
	spec := s.spec(t)
	for _, fn := range change {
		fn(&spec)
	}
	sb, err := s.Provider.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := sb.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return sb
}

// result of a short command.
type result struct {
	code           int
	stdout, stderr string
}

func exec(t *testing.T, sb sandbox.Sandbox, cmd sandbox.Command) result {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	code, err := sb.Exec(t.Context(), cmd)
	if err != nil {
		t.Fatalf("exec %q: %v", cmd.Script, err)
	}
	return result{code, out.String(), errOut.String()}
}

// sh runs a script that must succeed and returns its output.
func sh(t *testing.T, sb sandbox.Sandbox, script string) string {
	t.Helper()
	r := exec(t, sb, sandbox.Command{Script: script})
	if r.code != 0 {
		t.Fatalf("%q: status %d, stderr %q", script, r.code, r.stderr)
	}
	return r.stdout
}

// file is one member of a tar stream.
type file struct {
	name, body string
	mode       int64
	kind       byte
	link       string
}

func tarOf(files ...file) *bytes.Buffer {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		kind := f.kind
		if kind == 0 {
			kind = tar.TypeReg
		}
		mode := f.mode
		if mode == 0 {
			mode = 0o644
		}
		_ = w.WriteHeader(&tar.Header{Name: f.name, Typeflag: kind, Mode: mode, Size: int64(len(f.body)), Linkname: f.link})
		_, _ = io.WriteString(w, f.body)
	}
	_ = w.Close()
	return &buf
}

// download gives the regular files below src by name.
func download(t *testing.T, sb sandbox.Sandbox, src string) map[string]string {
	t.Helper()
	var buf bytes.Buffer
	if err := sb.Download(t.Context(), src, &buf); err != nil {
		t.Fatalf("download %s: %v", src, err)
	}
	got := map[string]string{}
	r := tar.NewReader(&buf)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return got
		} else if err != nil {
			t.Fatalf("download %s: %v", src, err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got[strings.TrimPrefix(h.Name, "./")] = string(body)
	}
}

// signal is a writer that closes a channel once it has seen a text.
type signal struct {
	text string
	seen chan struct{}
	buf  bytes.Buffer
	done bool
}

func newSignal(text string) *signal { return &signal{text: text, seen: make(chan struct{})} }

func (s *signal) Write(b []byte) (int, error) {
	s.buf.Write(b)
	if !s.done && strings.Contains(s.buf.String(), s.text) {
		s.done = true
		close(s.seen)
	}
	return len(b), nil
}
