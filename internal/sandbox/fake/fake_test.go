package fake

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oddish/internal/sandbox"
)

func start(t *testing.T, p *Provider, options map[string]string) *Box {
	t.Helper()
	b, err := p.Start(t.Context(), sandbox.Spec{Owner: "o", Options: options, Labels: map[string]string{TrialLabel: "t-0"}})
	if err != nil {
		t.Fatal(err)
	}
	return b.(*Box)
}

func proc(label string) sandbox.Process {
	return sandbox.Process{Command: sandbox.Command{Label: label}, Name: label, Output: "/logs/" + label + "/out.txt"}
}

func TestStartedSandboxesAreListedAttachedAndRemoved(t *testing.T) {
	t.Parallel()
	p := New()
	a, b := start(t, p, nil), start(t, p, nil)
	got, err := p.Attach(t.Context(), a.ID())
	if err != nil || got != sandbox.Sandbox(a) {
		t.Errorf("attach gives %v, %v", got, err)
	}
	list, err := p.List(t.Context(), "o")
	if err != nil || len(list) != 2 || list[0].ID != a.ID() || list[1].ID != b.ID() || !list[0].Running {
		t.Errorf("list is %+v, %v", list, err)
	}
	if list, _ := p.List(t.Context(), "other"); len(list) != 0 {
		t.Errorf("another owner sees %+v", list)
	}
	for range 2 {
		if err := a.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := p.Attach(t.Context(), a.ID()); !errors.Is(err, sandbox.ErrNotFound) {
		t.Errorf("attach after stop: %v", err)
	}
	if _, err := a.Exec(t.Context(), sandbox.Command{}); !errors.Is(err, sandbox.ErrLost) {
		t.Errorf("exec after stop: %v", err)
	}
	if p.Running() != 1 || p.Peak() != 2 || p.Started() != 2 {
		t.Errorf("running %d, peak %d, started %d", p.Running(), p.Peak(), p.Started())
	}
}

func TestFilesGoInAndOut(t *testing.T) {
	t.Parallel()
	b := start(t, New(), nil)
	var in bytes.Buffer
	tw := tar.NewWriter(&in)
	for name, data := range map[string]string{"a.txt": "a", "sub/b.txt": "bb"} {
		if err := errors.Join(tw.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(data))}), second(tw.Write([]byte(data)))); err != nil {
			t.Fatal(err)
		}
	}
	tw.Close()
	if err := b.Upload(t.Context(), "/tests", &in); err != nil {
		t.Fatal(err)
	}
	for src, want := range map[string]string{
		"/tests":           "a.txt=a sub/ sub/b.txt=bb",
		"/tests/sub/":      "b.txt=bb",
		"/tests/sub/b.txt": "b.txt=bb",
		"/logs/agent":      "",
	} {
		var out bytes.Buffer
		if err := b.Download(t.Context(), src, &out); err != nil {
			t.Errorf("%s: %v", src, err)
		}
		if got := listing(t, &out); got != want {
			t.Errorf("%s holds %q, want %q", src, got, want)
		}
	}
	if err := b.Download(t.Context(), "/nowhere", io.Discard); !errors.Is(err, sandbox.ErrNotFound) {
		t.Errorf("download of nothing: %v", err)
	}
	if err := b.Upload(t.Context(), "/x", strings.NewReader("no tar, but long enough to be looked at"+strings.Repeat(".", 600))); err == nil {
		t.Error("upload of something else than tar succeeded")
	}
}

func second(_ int, err error) error { return err }

func listing(t *testing.T, r io.Reader) string {
	t.Helper()
	var list []string
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return strings.Join(list, " ")
		}
		if err != nil {
			t.Fatal(err)
		}
		entry := h.Name
		if h.Typeflag == tar.TypeReg {
			data, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			entry += "=" + string(data)
		}
		list = append(list, entry)
	}
}

func TestProcessIsTheSameOneByItsName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, New(), map[string]string{"duration": "10s", "agent_exit": "3"})
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		if _, err := b.Run(ctx, proc("agent")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("run that is left: %v", err)
		}
		begun := time.Now()
		exit, err := b.Run(t.Context(), proc("agent"))
		if took := time.Since(begun); err != nil || exit.Code != 3 || took != 6*time.Second {
			t.Errorf("second run: %+v, %v after %s", exit, err, took)
		}
		exit, err = b.Run(t.Context(), proc("agent"))
		if took := time.Since(begun); err != nil || exit.Code != 3 || took != 6*time.Second {
			t.Errorf("third run: %+v, %v after %s", exit, err, took)
		}
		if n := len(b.Commands()); n != 1 {
			t.Errorf("%d commands ran, want 1", n)
		}
	})
}

func TestProcessEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options map[string]string
		label   string
		timeout time.Duration
		want    sandbox.Exit
		err     error
		took    time.Duration
	}{
		"by itself":            {map[string]string{"duration": "1.5"}, "agent", 0, sandbox.Exit{}, nil, 1500 * time.Millisecond},
		"at its timeout":       {map[string]string{"duration": "1h"}, "agent", time.Minute, sandbox.Exit{Code: 137, TimedOut: true}, nil, time.Minute},
		"hanging, at timeout":  {map[string]string{"verify_hangs": "true"}, "verifier", time.Minute, sandbox.Exit{Code: 137, TimedOut: true}, nil, time.Minute},
		"lost":                 {map[string]string{"agent_hangs": "true", "lost_after": "5s"}, "agent", time.Minute, sandbox.Exit{}, sandbox.ErrLost, 5 * time.Second},
		"out of memory":        {map[string]string{"duration": "2s", "oom": "agent"}, "agent", time.Minute, sandbox.Exit{}, sandbox.ErrOutOfMemory, 2 * time.Second},
		"oom of the other one": {map[string]string{"oom": "agent"}, "verifier", 0, sandbox.Exit{}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := start(t, New(), c.options)
				p := proc(c.label)
				p.Timeout = c.timeout
				begun := time.Now()
				exit, err := b.Run(t.Context(), p)
				if took := time.Since(begun); exit != c.want || !errors.Is(err, c.err) || took != c.took {
					t.Errorf("%+v, %v after %s, want %+v, %v after %s", exit, err, took, c.want, c.err, c.took)
				}
			})
		})
	}
}

func TestStopEndsAProcessThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, New(), map[string]string{"agent_hangs": "true"})
		time.AfterFunc(time.Second, func() { b.Stop(context.Background()) })
		if _, err := b.Run(t.Context(), proc("agent")); !errors.Is(err, sandbox.ErrLost) {
			t.Errorf("error is %v", err)
		}
	})
}

func TestOutput(t *testing.T) {
	t.Parallel()
	b := start(t, New(), map[string]string{"output_bytes": "5000"})
	p := proc("agent")
	var live bytes.Buffer
	p.Live, p.OutputLimit = &live, 1000
	exit, err := b.Run(t.Context(), p)
	if err != nil || !exit.Truncated {
		t.Errorf("exit is %+v, %v", exit, err)
	}
	if data, ok := b.File(p.Output); !ok || len(data) != 1000 || live.Len() != 5000 {
		t.Errorf("output has %d bytes, live %d", len(data), live.Len())
	}
}

func TestReward(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reward *string
		agent  bool
		trial  string
		file   string
		want   string
	}{
		"1 after an agent":         {nil, true, "t-0", "reward.txt", "1\n"},
		"0 without one":            {nil, false, "t-0", "reward.txt", "0\n"},
		"scripted":                 {ptr("0.5"), false, "t-0", "reward.txt", "0.5\n"},
		"first of several":         {ptr("1, 0,0.5"), false, "t-0", "reward.txt", "1\n"},
		"by the trial's number":    {ptr("1, 0,0.5"), false, "t-5", "reward.txt", "0.5\n"},
		"several and an odd trial": {ptr("1,0"), false, "t", "reward.txt", "1\n"},
		"json":                     {ptr(`{"a": 1, "b": 2}`), false, "t-1", "reward.json", `{"a": 1, "b": 2}`},
		"empty":                    {ptr("empty"), false, "t-0", "reward.txt", ""},
		"text":                     {ptr("abc"), false, "t-0", "reward.txt", "abc\n"},
		"none":                     {ptr("none"), false, "t-0", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := map[string]string{}
			if c.reward != nil {
				options["reward"] = *c.reward
			}
			box, err := New().Start(t.Context(), sandbox.Spec{Options: options, Labels: map[string]string{TrialLabel: c.trial}})
			if err != nil {
				t.Fatal(err)
			}
			b := box.(*Box)
			labels := []string{"verifier"}
			if c.agent {
				labels = []string{"agent", "verifier"}
			}
			for _, l := range labels {
				if _, err := b.Run(t.Context(), proc(l)); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range []string{"reward.txt", "reward.json"} {
				data, ok := b.File("/logs/verifier/" + name)
				if ok != (name == c.file) || ok && string(data) != c.want {
					t.Errorf("%s is %q, %v", name, data, ok)
				}
			}
		})
	}
}

func TestFailAttempts(t *testing.T) {
	t.Parallel()
	p := New()
	spec := func(trial string, more ...string) sandbox.Spec {
		o := map[string]string{"fail_attempts": "2"}
		for i := 0; i < len(more); i += 2 {
			o[more[i]] = more[i+1]
		}
		return sandbox.Spec{Options: o, Labels: map[string]string{TrialLabel: trial}}
	}
	var got []bool
	for range 4 {
		_, err := p.Start(t.Context(), spec("a"))
		got = append(got, err == nil)
	}
	if want := []bool{false, false, true, true}; !slices.Equal(got, want) {
		t.Errorf("starts succeed: %v, want %v", got, want)
	}
	if _, err := p.Start(t.Context(), spec("b")); err == nil {
		t.Error("another trial's first start succeeded")
	}
	for n := range 3 { // a scripted failure is what fails
		box, err := p.Start(t.Context(), spec("c", "agent_exit", "9"))
		if err != nil {
			t.Fatal(err)
		}
		exit, err := box.Run(t.Context(), proc("agent"))
		if want := map[bool]int{true: 9, false: 0}[n < 2]; err != nil || exit.Code != want {
			t.Errorf("attempt %d ends with %+v, %v, want status %d", n+1, exit, err, want)
		}
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	t.Parallel()
	for key, value := range map[string]string{
		"durations": "1s", "duration": "soon", "start_duration": "-1s", "agent_exit": "-1", "output_bytes": "many",
		"agent_hangs": "maybe", "oom": "both", "fail_attempts": "1.5",
	} {
		_, err := New().Start(t.Context(), sandbox.Spec{Options: map[string]string{key: value}})
		if !errors.Is(err, sandbox.ErrUnsupported) || !strings.Contains(err.Error(), key) {
			t.Errorf("%s=%s: %v", key, value, err)
		}
	}
	_, err := New().Start(t.Context(), sandbox.Spec{Options: map[string]string{"x": "1"}})
	for key := range Options() {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("the message does not list %s: %v", key, err)
		}
		if err := new(options).set(key, "1"); err != nil && strings.Contains(err.Error(), "no such option") {
			t.Errorf("documented option %s is not known", key)
		}
	}
}

func TestStartThatIsCancelledLeavesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := New()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := p.Start(ctx, sandbox.Spec{Options: map[string]string{"start_duration": "1m"}})
		if !errors.Is(err, context.DeadlineExceeded) || p.Running() != 0 {
			t.Errorf("error %v, %d running", err, p.Running())
		}
	})
}

func TestCommandsByLabel(t *testing.T) {
	t.Parallel()
	b := start(t, New(), map[string]string{"healthcheck_failures": "1"})
	exec := func(label, path string) int {
		code, err := b.Exec(t.Context(), sandbox.Command{Label: label, Env: map[string]string{"ODDISH_PATH": path}})
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	if exec("healthcheck", "") != 1 || exec("healthcheck", "") != 0 {
		t.Error("the first healthcheck should fail, the second succeed")
	}
	b.WriteFile("/logs/verifier/reward.txt", []byte("1"))
	if exec("is-dir", "/logs") != 0 || exec("is-dir", "/logs/verifier/reward.txt") != 1 || exec("is-dir", "/none") != 1 {
		t.Error("is-dir does not tell folders")
	}
	exec("empty", "")
	if _, ok := b.File("/logs/verifier/reward.txt"); ok || exec("is-dir", "/tests") != 0 {
		t.Error("empty has not emptied the folders")
	}
	if err := b.SetNetwork(t.Context(), sandbox.Network{Mode: sandbox.NetworkNone}); err != nil || b.Network().Mode != sandbox.NetworkNone {
		t.Errorf("network is %v, %v", b.Network(), err)
	}
}

func ptr[T any](v T) *T { return &v }

func TestJournalTellsWhatRanWhen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var journal bytes.Buffer
		p := New()
		p.Journal(&journal)
		box, err := p.Start(t.Context(), sandbox.Spec{Options: map[string]string{"duration": "3s", "verify_hangs": "true"}, Labels: map[string]string{TrialLabel: "t-1"}})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time it is the same process
			if _, err := box.Run(t.Context(), proc("agent")); err != nil {
				t.Fatal(err)
			}
		}
		time.AfterFunc(time.Second, func() { box.Stop(context.Background()) })
		if _, err := box.Run(t.Context(), proc("verifier")); !errors.Is(err, sandbox.ErrLost) {
			t.Errorf("verifier: %v", err)
		}
		box.Stop(t.Context())
		if _, err := box.Run(t.Context(), proc("late")); !errors.Is(err, sandbox.ErrLost) {
			t.Errorf("after the end: %v", err)
		}
		synctest.Wait()
		var got []string
		begun := box.(*Box).created
		for dec := json.NewDecoder(&journal); ; {
			var n Note
			if err := dec.Decode(&n); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if n.Sandbox != box.ID() || n.Trial != "t-1" || n.PID != os.Getpid() {
				t.Errorf("note %+v", n)
			}
			got = append(got, strings.TrimSpace(fmt.Sprintf("%.0fs %s %s", n.At.Sub(begun).Seconds(), n.Event, n.Process)))
		}
		want := []string{"0s start", "0s start agent", "3s end agent", "3s start verifier", "4s end verifier", "4s end"}
		if !slices.Equal(got, want) {
			t.Errorf("journal %q, want %q", got, want)
		}
	})
}

func TestNothingStartsThatCannotBeNoted(t *testing.T) {
	t.Parallel()
	p := New()
	p.Journal(fullDisk{})
	if _, err := p.Start(t.Context(), sandbox.Spec{}); !errors.Is(err, errFull) || p.Running() != 0 {
		t.Errorf("start: %v, %d running", err, p.Running())
	}
	p.Journal(io.Discard)
	box, err := p.Start(t.Context(), sandbox.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	p.Journal(fullDisk{})
	if _, err := box.Run(t.Context(), proc("agent")); !errors.Is(err, errFull) {
		t.Errorf("run: %v", err)
	}
	if err := box.Stop(t.Context()); !errors.Is(err, errFull) || p.Running() != 0 {
		t.Errorf("stop: %v, %d running", err, p.Running())
	}
}

var errFull = errors.New("no space left")

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }
