// Package transcript keeps what an agent and its models said to each other, as the model gateway sees it, and makes a trajectory of it. It is for
// agents that leave no record of their own, or were killed before they wrote it.
//
// Every request repeats the whole conversation. So a Recorder keeps each message once, in a file, and of each request only which messages
// it was made of; in memory it holds the names of the messages, not the messages. Build reads the file and finds the conversations in it: that
// of the agent, and those of its sub-agents and helpers.
//
// Package gateway, above it, feeds it; it knows no trial and no agent.
package transcript

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"oddish/internal/llm"
	"oddish/internal/llm/usage"
)

// Limit is how many bytes the file of one Recorder may have. What comes later is not kept, and the trajectory ends with a word about it.
const Limit = 64 << 20

// recall is how many of the last requests are remembered, to write the next as what differs from one of them: agents have a few conversations at a time.
const recall = 4

// Recorder writes the file. It is safe for concurrent use. A nil Recorder keeps nothing.
type Recorder struct {
	limit int64
	busy  chan struct{} // bounds how many requests are read at once

	mu     sync.Mutex
	out    *os.File
	size   int64
	full   bool
	err    error
	next   int                 // number of the next request
	known  map[string]struct{} // names of the messages that the file has
	seed   maphash.Seed
	read   map[uint64]reading // of messages as they were sent, by their hash
	recent []ask              // with all their messages
}

// Pool bounds how many requests all Recorders made with it read at the same time, and so their memory.
type Pool struct{ busy chan struct{} }

// NewPool makes a pool for as many requests as there are processors.
func NewPool() *Pool { return &Pool{make(chan struct{}, runtime.GOMAXPROCS(0))} }

// Open opens the file, which another process may have begun, or makes it.
func (p *Pool) Open(path string) (*Recorder, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the record of the model conversation: %w", err)
	}
	r := &Recorder{limit: Limit, busy: p.busy, out: f, known: map[string]struct{}{}, seed: maphash.MakeSeed(), read: map[uint64]reading{}}
	if err := r.takeUp(); err != nil {
		return nil, errors.Join(fmt.Errorf("read the record of the model conversation: %w", err), f.Close())
	}
	return r, nil
}

// takeUp learns what the file has. A last line that was cut off is removed.
func (r *Recorder) takeUp() error {
	whole, err := eachLine(r.out, func(l *line) {
		switch {
		case l.Item != nil:
			r.known[l.Ref] = struct{}{}
		case l.Ask != nil:
			r.next = max(r.next, l.Ask.N+1)
		case l.Full:
			r.full = true
		}
	})
	if err != nil {
		return err
	}
	r.size = whole
	if err := r.out.Truncate(whole); err != nil {
		return err
	}
	_, err = r.out.Seek(whole, io.SeekStart)
	return err
}

// line is a line of the file: one of its fields is set.
type line struct {
	Ref    string  `json:"ref,omitempty"` // of Item
	Item   *item   `json:"item,omitempty"`
	Ask    *ask    `json:"ask,omitempty"`
	Answer *spoken `json:"answer,omitempty"`
	Full   bool    `json:"full,omitempty"` // the last: what came later was not kept
}

// ask is a request. Items name its messages; the first Keep are those of request Like. An item with "+" at its end belongs to the same
// message as the one before.
type ask struct {
	N        int       `json:"n"`
	Time     time.Time `json:"time"`
	System   []string  `json:"system,omitempty"`
	Tools    string    `json:"tools,omitempty"` // name of the set of tools
	Previous string    `json:"previous,omitempty"`
	Like     int       `json:"like"`
	Keep     int       `json:"keep,omitempty"`
	Items    []string  `json:"items,omitempty"`
}

// spoken is the answer to request N.
type spoken struct {
	N       int       `json:"n"`
	Time    time.Time `json:"time"`
	ID      string    `json:"id,omitempty"`
	Text    string    `json:"text,omitempty"`
	Thought string    `json:"thought,omitempty"`
	Calls   []call    `json:"calls,omitempty"`
	Facts
}

// Facts are what is known of an answer besides its words.
type Facts struct {
	Model     string      `json:"model"`
	Usage     usage.Usage `json:"usage"`
	CostUSD   *float64    `json:"cost_usd,omitempty"`
	Estimated bool        `json:"estimated,omitempty"` // Usage holds guesses
	Cut       bool        `json:"cut,omitempty"`       // it ended early
}

// eachLine reads whole lines; size is their length in bytes. One that is not understood is passed over.
func eachLine(in io.Reader, f func(*line)) (size int64, err error) {
	lines := bufio.NewReaderSize(in, 64<<10)
	for {
		data, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return size, nil
		}
		if err != nil {
			return size, err
		}
		size += int64(len(data))
		l := &line{}
		if json.Unmarshal(data, l) == nil {
			f(l)
		}
	}
}

// Exchange is one call of a model, from its request to the end of its answer. Its methods are called by one goroutine at a time. A nil Exchange keeps nothing.
type Exchange struct {
	recorder *Recorder
	n        int
	read     chan struct{} // closed when the request is read
	dialect  llm.Dialect
	reader   reader
}

// Ask notes a request. It returns at once and reads the body beside the caller, who must not change it.
func (r *Recorder) Ask(d llm.Dialect, body []byte) *Exchange {
	if r == nil {
		return nil
	}
	x := &Exchange{recorder: r, read: make(chan struct{}), dialect: d, reader: newReader(d)}
	r.mu.Lock()
	x.n = r.next
	r.next++
	r.mu.Unlock()
	now := time.Now()
	go func() {
		defer close(x.read)
		r.busy <- struct{}{}
		defer func() { <-r.busy }()
		request, err := readRequest(d, body)
		if err == nil { // else the provider does not understand it either
			r.note(x.n, now, d, request)
		}
	}()
	return x
}

// Begin is called before every attempt to get an answer: what came of the last one was not passed on.
func (x *Exchange) Begin() {
	if x != nil {
		x.reader = newReader(x.dialect)
	}
}

// Event takes the data of an event of the answer, and Body an answer that does not stream.
func (x *Exchange) Event(data []byte) {
	if x != nil {
		x.reader.event(data)
	}
}

// Body takes an answer that does not stream.
func (x *Exchange) Body(data []byte) {
	if x != nil {
		x.reader.body(data)
	}
}

// End notes the answer.
func (x *Exchange) End(f Facts) {
	if x == nil {
		return
	}
	<-x.read
	a := x.reader.answer()
	said := item{Parts: []part{{Text: string(a.text)}}, Thought: string(a.thought), Calls: a.calls}
	said.clip()
	x.reader = nil
	x.recorder.write(&line{Answer: &spoken{
		N: x.n, Time: time.Now(), ID: a.id, Text: said.Parts[0].Text, Thought: said.Thought, Calls: said.Calls, Facts: f,
	}})
}

// Wait waits until the request is read.
func (x *Exchange) Wait() {
	if x != nil {
		<-x.read
	}
}

// note writes what is new of a request, and what it was made of.
func (r *Recorder) note(n int, at time.Time, d llm.Dialect, q request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := ask{N: n, Time: at, Previous: q.previous, Like: -1, Tools: nameOf(q.tools)}
	for i := range q.system {
		a.System = append(a.System, r.keep(&q.system[i]))
	}
	for _, raw := range q.messages {
		m := r.message(d, raw)
		if m.role == system && len(a.Items) == 0 {
			a.System = append(a.System, m.refs...)
			continue
		}
		a.Items = append(a.Items, m.refs...)
	}
	short := a
	for i := range r.recent {
		if same := inCommon(r.recent[i].Items, a.Items); same > short.Keep {
			short.Like, short.Keep = r.recent[i].N, same
		}
	}
	short.Items = a.Items[short.Keep:]
	r.put(&line{Ask: &short})
	if r.recent = append(r.recent, a); len(r.recent) > recall {
		r.recent = r.recent[1:]
	}
}

// reading is what became of a message of a request: the names of its items.
type reading struct {
	role string
	refs []string
}

// message gives a message's reading, and writes what is new of it. The lock is held.
func (r *Recorder) message(d llm.Dialect, raw json.RawMessage) reading {
	key := maphash.Bytes(r.seed, raw)
	m, known := r.read[key]
	if known {
		return m
	}
	items := readMessage(d, raw)
	for i := range items {
		ref := r.keep(&items[i])
		if i > 0 && items[i].Role != system {
			ref += "+"
		}
		m.role, m.refs = items[i].Role, append(m.refs, ref)
	}
	r.read[key] = m
	return m
}

// inCommon gives how many elements both begin with.
func inCommon(a, b []string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// keep writes a message that the file does not have, and gives its name. The lock is held.
func (r *Recorder) keep(i *item) string {
	i.clip()
	ref := i.ref()
	if _, has := r.known[ref]; !has && r.put(&line{Ref: ref, Item: i}) {
		r.known[ref] = struct{}{}
	}
	return ref
}

// nameOf names a set of tools.
func nameOf(tools []byte) string {
	switch strings.TrimSpace(string(tools)) {
	case "", "null", "[]":
		return ""
	}
	return item{Role: tool, Parts: []part{{Text: string(tools)}}}.ref()
}

func (r *Recorder) write(l *line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.put(l)
}

// put writes a line and reports whether it did. The lock is held.
func (r *Recorder) put(l *line) bool {
	if r.full || r.err != nil || r.out == nil {
		return false
	}
	data, err := json.Marshal(l)
	if err != nil {
		return false // arguments that are no JSON
	}
	if r.size+int64(len(data)) >= r.limit {
		r.full = true
		data = []byte(`{"full":true}`)
	}
	n, err := r.out.Write(append(data, '\n'))
	r.size += int64(n)
	r.err = err
	return err == nil && !r.full
}

// Close closes the file. The error is the first of writing, after which nothing more was kept.
func (r *Recorder) Close() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.out == nil {
		return nil
	}
	err := r.out.Close()
	r.out = nil
	if r.err != nil {
		err = r.err
	}
	if err != nil {
		return fmt.Errorf("write the record of the model conversation: %w", err)
	}
	return nil
}
