package sandboxtest

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"oddish/internal/sandbox"
)

// joinCases are about several runs and callers, and about what a command finds when it is run.
func (s *suite) joinCases() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"a second process joins a run with all its output":  s.joined,
		"two runs go on at once":                            s.twoRuns,
		"signals, stdin and descriptors are as they should": s.inherits,
		"live output comes while the command runs":          s.liveSoon,
		"a capped output is delivered live with its note":   s.cappedLive,
		"the next run replaces the output file":             s.replaces,
		"twenty commands at once keep to their streams":     s.twentyStreams,
		"100 MB through a command's output":                 s.hundredMB,
		"sandboxes share neither files nor processes":       s.apart,
	}
}

func (s *suite) joined(t *testing.T) {
	sb := s.start(t)
	p := s.process("p", "echo early; touch /tmp/begun; until [ -e /tmp/go ]; do sleep 0.1; done; echo late; exit 2")
	first := make(chan error, 1)
	go func() {
		exit, err := sb.Run(soon(t), p)
		if err == nil && exit != (sandbox.Exit{Code: 2}) {
			err = fmt.Errorf("got %+v", exit)
		}
		first <- err
	}()
	eventually(t, sb, "it begins", "[ -e /tmp/begun ]")
	other, err := s.another(t).Attach(t.Context(), sb.ID())
	if err != nil {
		t.Fatal(err)
	}
	var live bytes.Buffer
	q := p
	q.Live = &live
	time.AfterFunc(time.Second, func() { _, _ = sb.Exec(soon(t), sandbox.Command{Script: "touch /tmp/go"}) })
	equal(t, "the second caller's end", mustRun(t, other, q), sandbox.Exit{Code: 2})
	equal(t, "the second caller's output", live.String(), "early\nlate\n")
	if err := <-first; err != nil {
		t.Errorf("first caller: %v", err)
	}
}

func (s *suite) twoRuns(t *testing.T) {
	sb := s.start(t)
	// Each waits for the other: they end only if both run.
	var wg sync.WaitGroup
	for _, names := range [][2]string{{"a", "b"}, {"b", "a"}} {
		wg.Go(func() {
			p := s.process(names[0], fmt.Sprintf("touch /tmp/%s; until [ -e /tmp/%s ]; do sleep 0.1; done", names[0], names[1]))
			p.Output = "/tmp/out-" + names[0]
			if exit, err := sb.Run(soon(t), p); err != nil || exit.Code != 0 {
				t.Errorf("got %+v, %v", exit, err)
			}
		})
	}
	wg.Wait()
}

// inherits compares a Run with an Exec: the supervisor between must leave no trace.
func (s *suite) inherits(t *testing.T) {
	sb := s.start(t)
	const script = `cat; grep SigIgn /proc/$$/status; [ -e /proc/$$/fd/3 ] && echo fd 3 is open
		yes | head -1; echo ${PIPESTATUS[0]}; sh -c 'kill -INT $$; echo survived'; true`
	equal(t, "exit", mustRun(t, sb, s.process("p", script)), sandbox.Exit{})
	equal(t, "output", sh(t, sb, "cat "+outFile), sh(t, sb, script))
}

func (s *suite) liveSoon(t *testing.T) {
	sb := s.start(t)
	const chunk = 200_000
	p := s.process("p", fmt.Sprintf(`head -c %d /dev/urandom; echo up; until [ -e /tmp/go ]; do sleep 0.1; done
		printf 'a\0b'; head -c %[1]d /dev/urandom; printf last`, chunk))
	live := newSignal("up\n")
	p.Live = live
	go func() {
		<-live.seen
		_, _ = sb.Exec(soon(t), sandbox.Command{Script: "touch /tmp/go"})
	}()
	equal(t, "exit", mustRun(t, sb, p), sandbox.Exit{})
	want := exec(t, sb, sandbox.Command{Script: "cat " + outFile}).stdout
	equal(t, "size", len(want), 2*chunk+10)
	if live.buf.String() != want {
		t.Errorf("%d live bytes differ from the file's %d", live.buf.Len(), len(want))
	}
}

func (s *suite) cappedLive(t *testing.T) {
	sb := s.start(t)
	p := s.process("p", "seq 1 300000; echo status $? >/tmp/status; exit 4")
	p.OutputLimit = 8192
	var live bytes.Buffer
	p.Live = &live
	equal(t, "exit", mustRun(t, sb, p), sandbox.Exit{Code: 4, Truncated: true})
	equal(t, "the program saw no error", sh(t, sb, "cat /tmp/status"), "status 0\n")
	got := sh(t, sb, "cat "+outFile)
	var want strings.Builder
	for n := 1; want.Len() < 7000; n++ {
		fmt.Fprintln(&want, n)
	}
	if !strings.HasPrefix(got, want.String()) || len(got) > 8192+200 {
		t.Errorf("%d bytes that begin with %.20q", len(got), got)
	}
	lines := strings.Split(strings.TrimSpace(got), "\n")
	if note := lines[len(lines)-1]; !strings.Contains(note, "8192") {
		t.Errorf("the last line %q is no note about the limit", note)
	}
	equal(t, "live", live.String(), got)
}

func (s *suite) replaces(t *testing.T) {
	sb := s.start(t)
	equal(t, "first", mustRun(t, sb, s.process("p", "echo a long first output; printf 'a\\0b'")), sandbox.Exit{})
	equal(t, "output", sh(t, sb, "cat "+outFile), "a long first output\na\x00b")
	equal(t, "second", mustRun(t, sb, s.process("q", "echo two")), sandbox.Exit{})
	equal(t, "output", sh(t, sb, "cat "+outFile), "two\n")
}

func (s *suite) twentyStreams(t *testing.T) {
	sb := s.start(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			var out bytes.Buffer
			code, err := sb.Exec(soon(t), sandbox.Command{
				Script: fmt.Sprintf("for n in $(seq 200); do echo %d $n; done; cat; exit %d", i, i),
				Stdin:  strings.NewReader(fmt.Sprint("stdin ", i)),
				Stdout: &out,
			})
			var want strings.Builder
			for n := range 200 {
				fmt.Fprintln(&want, i, n+1)
			}
			fmt.Fprint(&want, "stdin ", i)
			if code != i || err != nil || out.String() != want.String() {
				t.Errorf("command %d: status %d, %v, %d bytes of %d", i, code, err, out.Len(), want.Len())
			}
		})
	}
	wg.Wait()
}

func (s *suite) hundredMB(t *testing.T) {
	const size = 100 << 20
	sb := s.start(t)
	pr, pw := io.Pipe()
	go func() {
		code, err := sb.Exec(soon(t), sandbox.Command{Script: fmt.Sprintf("seq 1000000000 | head -c %d", size), Stdout: pw})
		if err == nil && code != 0 {
			err = fmt.Errorf("status %d", code)
		}
		pw.CloseWithError(err)
	}()
	got, err := sameAsSeq(pr)
	if err != nil || got != size {
		t.Errorf("%d bytes were right, of %d: %v", got, size, err)
	}
}

// sameAsSeq reads the numbers from 1, a line each, and tells how many bytes of that it got.
func sameAsSeq(r io.Reader) (int, error) {
	good := 0
	var want []byte
	buf := make([]byte, 1<<16)
	for n := 1; ; {
		k, err := r.Read(buf)
		for len(want) < k {
			want = fmt.Appendln(want, n)
			n++
		}
		if !bytes.Equal(buf[:k], want[:k]) {
			return good, fmt.Errorf("the %d bytes after it differ", k)
		}
		good += k
		want = append(want[:0], want[k:]...)
		if err == io.EOF {
			return good, nil
		} else if err != nil {
			return good, err
		}
	}
}

func (s *suite) apart(t *testing.T) {
	a, b := s.start(t), s.start(t)
	sh(t, a, "echo secret >/tmp/a; sleep 98765 >/dev/null 2>&1 &")
	equal(t, "file", exec(t, b, sandbox.Command{Script: "[ -e /tmp/a ]"}).code, 1)
	equal(t, "process", exec(t, b, sandbox.Command{Script: "grep -l 9876[5] /proc/[0-9]*/cmdline 2>/dev/null"}).stdout, "")
}
