package worker

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"context"

	"oddish/api"
	"oddish/client"
)

// network is a network in memory with one address, so that tests run on the fake clock of
// synctest, with real HTTP on both sides.
type network struct {
	mu       sync.Mutex
	listener *memListener // nil: nobody listens
}

type memListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *memListener) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listener
	n.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	if l == nil {
		return nil, refused
	}
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fakeServer speaks the worker protocol and remembers what it was told. It survives restarts.
type fakeServer struct {
	t    testing.TB
	net  network
	http *http.Server

	mu       sync.Mutex
	queue    []api.Job
	wake     chan struct{} // closed and renewed when the queue grows
	jobs     map[string]*seen
	archives map[string][]byte  // by task id
	running  map[string]api.Job // what resumed jobs were, by id
	resumes  []api.ResumeJobs
	claims   []api.Claim
	beats    []api.Heartbeat
	fetches  int

	hold     func(r *http.Request)     // called before each answer, without the lock
	refuse   func(r *http.Request) int // a status to answer with; 0: none
	leaseSec float64
}

// seen is what the server knows of a job.
type seen struct {
	lease    string
	cancel   bool
	push     bool // tell of the cancel through the held question, too
	lost     bool
	events   []api.ProgressEvent
	files    map[string][]byte
	puts     int
	finishes []api.Finish
	finished chan struct{}
	order    []string // what arrived: "file NAME", "stage NAME", "finish"
}

func newFakeServer(t testing.TB) *fakeServer {
	return &fakeServer{t: t, wake: make(chan struct{}), jobs: map[string]*seen{}, archives: map[string][]byte{}, running: map[string]api.Job{}}
}

func (s *fakeServer) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /worker/v1/claim", s.claim)
	mux.HandleFunc("POST /worker/v1/resume", s.resume)
	mux.HandleFunc("POST /worker/v1/heartbeat", s.heartbeat)
	mux.HandleFunc("POST /worker/v1/cancels", s.cancels)
	mux.HandleFunc("POST /worker/v1/jobs/{id}/events", s.events)
	mux.HandleFunc("PUT /worker/v1/jobs/{id}/files/{path...}", s.file)
	mux.HandleFunc("POST /worker/v1/jobs/{id}/finish", s.finish)
	mux.HandleFunc("GET /worker/v1/jobs/{id}/task", s.task)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		hold, refuse := s.hold, s.refuse
		s.mu.Unlock()
		if hold != nil {
			hold(r)
		}
		if refuse != nil {
			if status := refuse(r); status != 0 {
				_, _ = io.Copy(io.Discard, r.Body)
				answer(w, status, api.Problem{Detail: "refused by the test"})
				return
			}
		}
		mux.ServeHTTP(w, r)
	})
}

// up starts listening; down breaks every connection.
func (s *fakeServer) up() {
	l := &memListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	s.http = &http.Server{Handler: s.handler()}
	go s.http.Serve(l) //nolint:errcheck // ends with Close
	s.net.mu.Lock()
	s.net.listener = l
	s.net.mu.Unlock()
}

func (s *fakeServer) down() {
	s.net.mu.Lock()
	s.net.listener = nil
	s.net.mu.Unlock()
	_ = s.http.Close()
}

func (s *fakeServer) client() *client.Client {
	return client.New("http://server", client.Options{HTTP: &http.Client{
		Transport: &http.Transport{DialContext: s.net.dial, MaxIdleConnsPerHost: 64},
	}})
}

func (s *fakeServer) enqueue(jobs ...api.Job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, jobs...)
	close(s.wake)
	s.wake = make(chan struct{})
}

func (s *fakeServer) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// job is what is known of a job; it exists once claimed. Its maps and slices are copies.
func (s *fakeServer) job(id string) seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[id]
	if j == nil {
		return seen{}
	}
	c := *j
	c.files, c.events, c.finishes, c.order = maps.Clone(j.files), slices.Clone(j.events), slices.Clone(j.finishes), slices.Clone(j.order)
	return c
}

// count gives the numbers of claims, heartbeats and task downloads so far.
func (s *fakeServer) count() (claims, beats, fetches int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.claims), len(s.beats), s.fetches
}

// claim number i.
func (s *fakeServer) claimed(i int) api.Claim {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claims[i]
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (s *fakeServer) claim(w http.ResponseWriter, r *http.Request) {
	var c api.Claim
	if json.NewDecoder(r.Body).Decode(&c) != nil {
		answer(w, 422, api.Problem{})
		return
	}
	s.set(func() { s.claims = append(s.claims, c) })
	timeout := time.NewTimer(time.Duration(c.WaitSec) * time.Second)
	defer timeout.Stop()
	for {
		s.mu.Lock()
		n := min(c.Slots, len(s.queue))
		jobs := slices.Clone(s.queue[:n])
		s.queue = s.queue[n:]
		for i := range jobs {
			jobs[i].LeaseSec = s.leaseSec
			s.jobs[jobs[i].ID] = &seen{lease: jobs[i].Lease, files: map[string][]byte{}, finished: make(chan struct{})}
		}
		wake := s.wake
		s.mu.Unlock()
		if n > 0 {
			answer(w, 200, api.Claimed{Jobs: jobs})
			return
		}
		select {
		case <-wake:
		case <-timeout.C:
			answer(w, 200, api.Claimed{Jobs: []api.Job{}})
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (s *fakeServer) resume(w http.ResponseWriter, r *http.Request) {
	var in api.ResumeJobs
	_ = json.NewDecoder(r.Body).Decode(&in)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resumes = append(s.resumes, in)
	out := api.ResumedJobs{Jobs: []api.Job{}, Lost: []string{}}
	for _, ref := range in.Jobs {
		j := s.jobs[ref.ID]
		if j == nil || j.lost || j.lease != ref.Lease || len(j.finishes) > 0 {
			out.Lost = append(out.Lost, ref.ID)
			continue
		}
		job := s.running[ref.ID]
		job.Seq, job.LeaseSec = int64(len(j.events)), s.leaseSec
		out.Jobs = append(out.Jobs, job)
	}
	answer(w, 200, out)
}

func (s *fakeServer) heartbeat(w http.ResponseWriter, r *http.Request) {
	var h api.Heartbeat
	_ = json.NewDecoder(r.Body).Decode(&h)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beats = append(s.beats, h)
	ack := api.HeartbeatAck{LeaseUntil: time.Unix(0, 0), LeaseSec: s.leaseSec} // a clock that is far off
	for _, ref := range h.Jobs {
		j := s.jobs[ref.ID]
		switch {
		case j == nil || j.lost || j.lease != ref.Lease || len(j.finishes) > 0:
			ack.Lost = append(ack.Lost, ref.ID)
		case j.cancel:
			ack.Cancel = append(ack.Cancel, ref.ID)
		}
	}
	answer(w, 200, ack)
}

func (s *fakeServer) cancels(w http.ResponseWriter, r *http.Request) {
	var c api.Cancels
	_ = json.NewDecoder(r.Body).Decode(&c)
	timeout := time.NewTimer(time.Duration(c.WaitSec) * time.Second)
	defer timeout.Stop()
	for {
		ack := api.CancelsAck{Cancel: []string{}}
		s.mu.Lock()
		for id, j := range s.jobs {
			if j.cancel && j.push && !slices.Contains(c.Known, id) {
				ack.Cancel = append(ack.Cancel, id)
			}
		}
		wake := s.wake
		s.mu.Unlock()
		if len(ack.Cancel) == 0 {
			select {
			case <-wake:
				continue
			case <-r.Context().Done():
			case <-timeout.C:
			}
		}
		answer(w, 200, ack)
		return
	}
}

// fenced finds the job of a request, or answers 409.
func (s *fakeServer) fenced(w http.ResponseWriter, r *http.Request) *seen {
	j := s.jobs[r.PathValue("id")]
	if j == nil || j.lost || j.lease != r.Header.Get(api.LeaseHeader) {
		answer(w, 409, api.Problem{Detail: "lease is no longer held"})
		return nil
	}
	return j
}

func (s *fakeServer) events(w http.ResponseWriter, r *http.Request) {
	var p api.Progress
	_ = json.NewDecoder(r.Body).Decode(&p)
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.fenced(w, r)
	if j == nil {
		return
	}
	for _, e := range p.Events {
		if e.Seq == int64(len(j.events))+1 {
			j.events = append(j.events, e)
			j.order = append(j.order, "stage "+string(e.Stage))
		} else if e.Seq > int64(len(j.events)) {
			s.t.Errorf("event %d came after %d", e.Seq, len(j.events))
		}
	}
	answer(w, 200, api.ProgressAck{Cancel: j.cancel})
}

func (s *fakeServer) file(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.fenced(w, r)
	if j == nil {
		return
	}
	name := r.PathValue("path")
	j.puts++
	if q := r.URL.Query().Get("offset"); q != "" {
		offset, _ := strconv.Atoi(q)
		if offset > len(j.files[name]) {
			answer(w, 416, api.Problem{Detail: "offset beyond the end"})
			return
		}
		body = append(bytes.Clone(j.files[name][:offset]), body...)
	} else {
		j.order = append(j.order, "file "+name)
	}
	j.files[name] = body
	w.WriteHeader(http.StatusNoContent)
}

func (s *fakeServer) finish(w http.ResponseWriter, r *http.Request) {
	var f api.Finish
	_ = json.NewDecoder(r.Body).Decode(&f)
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.fenced(w, r)
	if j == nil {
		return
	}
	if len(j.finishes) == 0 {
		close(j.finished)
		j.order = append(j.order, "finish")
	}
	j.finishes = append(j.finishes, f)
	answer(w, 200, api.FinishAck{Status: f.Outcome})
}

func (s *fakeServer) task(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.fetches++
	j := s.fenced(w, r)
	data, ok := s.archives[r.PathValue("id")]
	if !ok {
		data, ok = s.archives[""]
	}
	s.mu.Unlock()
	if j == nil {
		return
	}
	if !ok {
		answer(w, 404, api.Problem{Detail: "no archive"})
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data)
}

var errTest = errors.New("error of the test")
