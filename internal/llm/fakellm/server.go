package fakellm

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"oddish/internal/llm"
)

// maxBody bounds what is read of a request.
const maxBody = 64 << 20

// keptCalls is how many calls are remembered; of a server that runs for long the oldest are forgotten.
const keptCalls = 10_000

// Server is an http.Handler that answers by scripts and remembers its last 10,000 calls. It is safe for concurrent use.
//
// A path that starts with /s/NAME or /s/NAME,LABEL is answered by the script of that name, so that one server serves agents
// that need different ones; all other paths by the script given to New.
type Server struct {
	mu      sync.Mutex
	scripts map[string]*running
	calls   []*Call
	arrived int
	told    [2]Usage // to agents' work, and to helper calls
}

// running is a script with how often each of its faults has happened.
type running struct {
	Script
	happened []int
}

var _ http.Handler = (*Server)(nil)

// New makes a server that answers by the script.
func New(s Script) *Server {
	server := &Server{scripts: map[string]*running{}}
	server.Add("", s)
	return server
}

// Add sets the script for paths below /s/NAME, with its faults unused. The empty name is the script for all other paths.
func (s *Server) Add(name string, script Script) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scripts[name] = &running{Script: script, happened: make([]int, len(script.Faults))}
}

// Call is one request and what was answered.
type Call struct {
	Number  int             `json:"number"` // from 1, in the order of arrival
	Script  string          `json:"script,omitempty"`
	Label   string          `json:"label,omitempty"`
	Method  string          `json:"method"`
	Path    string          `json:"path"`
	Dialect llm.Dialect     `json:"dialect,omitempty"` // empty for requests that are no model calls
	Model   string          `json:"model,omitempty"`
	Stream  bool            `json:"stream,omitempty"`
	Helper  bool            `json:"helper,omitempty"`
	Turn    int             `json:"turn"`
	Header  http.Header     `json:"header"` // credentials are replaced by "(secret)"
	Body    json.RawMessage `json:"body,omitempty"`
	Status  int             `json:"status"`
	Fault   FaultKind       `json:"fault,omitempty"`
	Answer  string          `json:"answer,omitempty"` // to a model call, as far as it was sent
	Events  int             `json:"events,omitempty"` // how many events of the stream were sent
	Usage   *Usage          `json:"usage,omitempty"`  // as told; nil if the answer did not come to telling it
}

// Calls gives copies of the calls that are remembered, in the order of their arrival.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := make([]Call, len(s.calls))
	for i, c := range s.calls {
		calls[i] = *c
	}
	return calls
}

// Told sums up the usage that was told since the start, of helper calls or of all others.
func (s *Server) Told(helpers bool) Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told[kindOfCall(helpers)]
}

func kindOfCall(helper bool) int {
	if helper {
		return 1
	}
	return 0
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	script, c := s.arrive(r)
	if script == nil {
		writeJSON(w, s.answered(c, http.StatusNotFound), object{"error": object{"message": "no script is named " + c.Script}})
		return
	}
	switch {
	case strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		status := script.WebSocket
		if status == 0 {
			status = http.StatusUpgradeRequired
		}
		w.WriteHeader(s.answered(c, status))
	case r.Method == http.MethodHead || c.Path == "/" || c.Path == "/api/hello":
		w.WriteHeader(s.answered(c, http.StatusOK))
	case r.Method == http.MethodGet && strings.HasSuffix(c.Path, "/models"):
		writeJSON(w, s.answered(c, http.StatusOK), modelList(script.Models))
	default:
		s.model(w, r, script, c)
	}
}

func (s *Server) arrive(r *http.Request) (*running, *Call) {
	c := &Call{Method: r.Method, Path: r.URL.Path, Header: withoutSecrets(r.Header)}
	if rest, is := strings.CutPrefix(r.URL.Path, "/s/"); is {
		name, path, _ := strings.Cut(rest, "/")
		c.Path = "/" + path
		c.Script, c.Label, _ = strings.Cut(name, ",")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, c)
	if s.arrived++; len(s.calls) > keptCalls {
		s.calls[0], s.calls = nil, s.calls[1:]
	}
	c.Number = s.arrived
	return s.scripts[c.Script], c
}

// answered notes the status of a call and gives it back.
func (s *Server) answered(c *Call, status int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.Status = status
	return status
}

// model answers a model call.
func (s *Server) model(w http.ResponseWriter, r *http.Request, script *running, c *Call) {
	q, known := route(r.Method, c.Path, r.URL.Query().Get("alt"))
	if !known {
		writeJSON(w, s.answered(c, http.StatusNotFound), object{"error": object{"message": "no route " + r.Method + " " + c.Path}})
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var asked request
	if err == nil {
		err = json.Unmarshal(body, &asked)
	}
	if err != nil {
		s.fail(w, q.dialect, c, problem{status: 400, anthropic: "invalid_request_error", kind: "invalid_request_error", gemini: "INVALID_ARGUMENT", message: "read the request: " + err.Error()})
		return
	}
	q = script.read(q, asked)
	s.note(c, q, body)
	if p, wrong := script.refuses(r, q); wrong {
		s.fail(w, q.dialect, c, p)
		return
	}
	if q.count {
		writeJSON(w, s.answered(c, http.StatusOK), counted(q.dialect, script.turn(q.turn).Usage.Input))
		return
	}
	fault := s.fault(script, q, c)
	if p, is := fault.problem(q.dialect, q.model); is && fault.Kind != ErrorBody {
		if fault.Kind == EchoHeaders {
			p.message = fmt.Sprintf("Internal server error while serving %v", r.Header)
		}
		s.fail(w, q.dialect, c, p)
		return
	}
	s.answer(w, r, script.Script, q, fault, c)
}

// noting is a writer that notes what it writes.
type noting struct {
	http.ResponseWriter
	server *Server
	call   *Call
}

func (n *noting) Write(data []byte) (int, error) {
	n.server.mu.Lock()
	n.call.Answer += string(data)
	n.server.mu.Unlock()
	return n.ResponseWriter.Write(data)
}

// Unwrap lets the answer be flushed.
func (n *noting) Unwrap() http.ResponseWriter { return n.ResponseWriter }

func (s *Server) note(c *Call, q query, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.Dialect, c.Model, c.Stream, c.Helper, c.Turn, c.Body = q.dialect, q.model, q.stream, q.helper, q.turn, body
}

func (s *Server) fail(w http.ResponseWriter, d llm.Dialect, c *Call, p problem) {
	s.answered(c, p.status)
	p.write(&noting{ResponseWriter: w, server: s, call: c}, d)
}

// refuses says what is wrong with the key or the model.
func (s Script) refuses(r *http.Request, q query) (problem, bool) {
	if len(s.Keys) > 0 && !slices.Contains(s.Keys, keyOf(r)) {
		return Fault{Kind: Auth}.problem(q.dialect, q.model)
	}
	if len(s.Models) > 0 && !slices.Contains(s.Models, q.model) {
		return Fault{Kind: UnknownModel}.problem(q.dialect, q.model)
	}
	return problem{}, false
}

// fault gives the fault that happens to the call; the zero one if none does.
func (s *Server) fault(script *running, q query, c *Call) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range script.Faults {
		if f.fits(q) && (f.Times == 0 || script.happened[i] < f.Times) {
			script.happened[i]++
			c.Fault = f.Kind
			return f
		}
	}
	return Fault{}
}

func keyOf(r *http.Request) string {
	if bearer, is := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); is {
		return bearer
	}
	for _, name := range []string{"X-Api-Key", "X-Goog-Api-Key", "Api-Key"} {
		if key := r.Header.Get(name); key != "" {
			return key
		}
	}
	return r.URL.Query().Get("key")
}

func withoutSecrets(h http.Header) http.Header {
	h = h.Clone()
	for _, name := range []string{"Authorization", "X-Api-Key", "X-Goog-Api-Key", "Api-Key", "Cookie"} {
		if h.Get(name) != "" {
			h.Set(name, "(secret)")
		}
	}
	return h
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) //nolint:errcheck // nobody is left to tell
}
