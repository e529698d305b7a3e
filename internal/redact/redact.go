// Package redact takes secrets out of text on its way to where people read it. It knows values, not what they are for: package
// trial says which were given to a trial, package worker sends the trial's files through it.
package redact

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync"
)

// Mark stands where a secret was.
const Mark = "[REDACTED]"

// MinLength is the length, in bytes, of the shortest value that is taken for a secret. Shorter ones ("1", "true", "none")
// are guessed at once, and their every occurrence would be marked.
const MinLength = 6

// chunk is how much is read at a time, in bytes.
const chunk = 64 << 10

// Secrets is a set of values. The zero value is empty and ready. Its methods may be called at once from many goroutines.
type Secrets struct {
	mu     sync.RWMutex
	values [][]byte // the longest first, so that it wins over one that it begins with
}

// Add adds values, and each line of those that have several: a log may show it alone. Those shorter than MinLength are left out.
func (s *Secrets) Add(values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range values {
		for _, part := range append(strings.Split(v, "\n"), v) {
			b := []byte(strings.TrimSpace(part))
			if len(b) >= MinLength && !slices.ContainsFunc(s.values, func(o []byte) bool { return bytes.Equal(o, b) }) {
				s.values = append(s.values, b)
			}
		}
	}
	slices.SortFunc(s.values, func(a, b []byte) int { return len(b) - len(a) })
}

func (s *Secrets) list() [][]byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.values)
}

// Empty reports whether there is nothing to take out.
func (s *Secrets) Empty() bool { return len(s.list()) == 0 }

// String gives text with Mark for each secret.
func (s *Secrets) String(text string) string {
	out, _ := io.ReadAll(s.Reader(strings.NewReader(text))) // a strings.Reader does not fail
	return string(out)
}

// Reader gives what r gives with Mark for each secret, also for one that comes in parts.
func (s *Secrets) Reader(r io.Reader) io.Reader {
	values := s.list()
	if len(values) == 0 {
		return r
	}
	return &reader{r: r, finder: newFinder(values), in: make([]byte, 0, 2*chunk+len(values[0]))}
}

// reader replaces while it reads. in is what was read and not yet looked through, out what may be given.
type reader struct {
	r      io.Reader
	finder *finder
	in     []byte
	out    []byte
	err    error
}

func (r *reader) Read(p []byte) (int, error) {
	for len(r.out) == 0 && r.err == nil {
		r.fill()
	}
	if len(r.out) == 0 {
		return 0, r.err
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

// fill reads a chunk and looks through all but its end, where a secret may begin that goes on in the next one.
func (r *reader) fill() {
	r.in = slices.Grow(r.in, chunk)
	n, err := r.r.Read(r.in[len(r.in) : len(r.in)+chunk])
	r.in, r.err = r.in[:len(r.in)+n], err
	limit := len(r.in)
	if err == nil {
		limit -= r.finder.longest - 1
	}
	out, from := r.out[:0], 0
	for from < limit {
		at, size := r.finder.next(r.in, from)
		if size == 0 || at >= limit {
			out = append(out, r.in[from:limit]...)
			from = limit
			break
		}
		out = append(append(out, r.in[from:at]...), Mark...)
		from = at + size
	}
	r.out = out
	r.in = r.in[:copy(r.in, r.in[from:])]
	r.finder.reset()
}

// Mask overwrites each secret in data, which then has the length that it had: for what must keep its offsets. It returns how many
// bytes may be shown: behind them begins what may be the first part of a secret whose rest is yet to come.
func (s *Secrets) Mask(data []byte) int {
	values := s.list()
	if len(values) == 0 {
		return len(data)
	}
	f := newFinder(values)
	for from := 0; ; {
		at, size := f.next(data, from)
		if size == 0 {
			break
		}
		copy(data[at:at+size], Mark+strings.Repeat("*", size))
		from = at + size
	}
	shown := len(data)
	for _, v := range values {
		for n := min(len(v)-1, len(data)); n > 0; n-- {
			if bytes.HasSuffix(data, v[:n]) {
				shown = min(shown, len(data)-n)
				break
			}
		}
	}
	return shown
}

// finder finds the next of several values in a text, each of which it looks for once.
type finder struct {
	values  [][]byte
	longest int
	at      []int // of each value; -1: not looked for yet; past the end: none
}

func newFinder(values [][]byte) *finder {
	f := &finder{values: values, longest: len(values[0]), at: make([]int, len(values))}
	f.reset()
	return f
}

// reset begins with another text.
func (f *finder) reset() {
	for i := range f.at {
		f.at[i] = -1
	}
}

// next gives the first value from an offset on, and of those that begin there the longest; size 0: there is none.
func (f *finder) next(text []byte, from int) (at, size int) {
	for i, v := range f.values {
		if f.at[i] < from {
			if f.at[i] = bytes.Index(text[from:], v); f.at[i] < 0 {
				f.at[i] = len(text)
			} else {
				f.at[i] += from
			}
		}
		if f.at[i] < len(text) && (size == 0 || f.at[i] < at) {
			at, size = f.at[i], len(v)
		}
	}
	return at, size
}

// Text reports whether a file that begins with head (8 KiB, or all of it) is text. Others are left as they are.
func Text(head []byte) bool { return bytes.IndexByte(head, 0) < 0 }
