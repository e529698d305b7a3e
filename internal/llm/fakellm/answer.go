package fakellm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"oddish/internal/llm"
)

// answer is a turn on its way into a dialect's form.
type answer struct {
	Turn
	q      query
	number int   // of the call, for ids
	tool   *call // nil: none
	told   *Usage
}

// event is one of a stream. A string is sent as it is.
type event struct {
	name string // empty where the dialect names none
	data any
}

// answer sends the turn, spoiled by the fault.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, script Script, q query, fault Fault, c *Call) {
	a := answer{q: q, Turn: script.turn(q.turn), number: c.Number}
	if q.helper {
		a.Turn = script.helper()
	} else if tool, calls := a.call(q); calls {
		a.tool = &tool
	}
	if fault.Kind != NoUsage {
		told := a.Usage
		if q.dialect != llm.Anthropic {
			told.CacheWrite = 0
		} else {
			told.Reasoning = 0
		}
		a.told = &told
	}
	delay := script.Delay
	if fault.Kind == Slow {
		delay = fault.Delay
	}
	out := &sender{Server: s, w: &noting{ResponseWriter: w, server: s, call: c}, gone: r.Context().Done(), q: q, fault: fault, delay: delay, call: c, told: a.told}
	if fault.Kind == Drop {
		panic(http.ErrAbortHandler)
	}
	if q.stream {
		out.stream(a.events())
		return
	}
	out.body(a.body())
}

func (a answer) events() []event {
	switch a.q.dialect {
	case llm.Anthropic:
		return a.anthropicEvents()
	case llm.Chat:
		return a.chatEvents()
	case llm.Responses:
		return a.responsesEvents()
	}
	return a.geminiEvents()
}

func (a answer) body() object {
	switch a.q.dialect {
	case llm.Anthropic:
		return a.anthropicBody()
	case llm.Chat:
		return a.chatBody()
	case llm.Responses:
		return a.responsesBody()
	}
	return a.geminiBody()
}

// argsJSON gives the arguments of the tool call as the text that most dialects want.
func (a answer) argsJSON() string {
	data, err := json.Marshal(a.tool.args)
	if err != nil {
		return "{}"
	}
	return string(data)
}

func (a answer) id(prefix string) string { return fmt.Sprintf("%s%06d", prefix, a.number) }

// pieces cuts a text as a stream would.
func pieces(text string) []string {
	const size = 12
	var out []string
	runes := []rune(text)
	for len(runes) > size {
		out = append(out, string(runes[:size]))
		runes = runes[size:]
	}
	if len(runes) > 0 {
		out = append(out, string(runes))
	}
	return out
}

// sender writes an answer and does to it what the fault says.
type sender struct {
	*Server
	w     http.ResponseWriter
	gone  <-chan struct{} // closed when the client leaves
	q     query
	fault Fault
	delay time.Duration
	call  *Call
	told  *Usage
}

func (s *sender) body(body object) {
	s.wait()
	if s.fault.Kind == ErrorBody {
		p, _ := s.fault.problem(s.q.dialect, s.q.model)
		writeJSON(s.w, s.answered(s.call, http.StatusOK), p.body(s.q.dialect))
		return
	}
	data, err := json.Marshal(body)
	if err != nil {
		panic(err) // a script's args that are no JSON
	}
	if s.fault.Kind == WrongJSON {
		data = data[:len(data)/2]
	}
	s.answered(s.call, http.StatusOK)
	s.w.Header().Set("Content-Type", "application/json")
	s.w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	switch s.fault.Kind {
	case Cut:
		s.w.Write(data[:min(s.fault.After, len(data)/2)]) //nolint:errcheck // it is cut anyway
		s.flush()
		panic(http.ErrAbortHandler)
	case Hang:
		s.flush()
		<-s.gone
		return
	case WrongJSON:
		s.w.Write(data) //nolint:errcheck // nobody is left to tell
		return
	}
	if _, err := s.w.Write(data); err == nil {
		s.tell()
	}
}

// tell notes that the usage was sent.
func (s *sender) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.call.Usage = s.told; s.told != nil {
		sum := &s.Server.told[kindOfCall(s.q.helper)]
		*sum = sum.Add(*s.told)
	}
}

func (s *sender) stream(events []event) {
	s.w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	s.w.Header().Set("Cache-Control", "no-cache")
	if s.q.array {
		s.w.Header().Set("Content-Type", "application/json")
	}
	s.w.WriteHeader(s.answered(s.call, http.StatusOK))
	s.flush()
	for i, e := range events {
		s.wait()
		if s.spoil(i) {
			return
		}
		if s.fault.Kind == WrongJSON && i == s.fault.After {
			e.data = `{"type":"content_block_delta","delta":{"te`
		}
		if !s.send(e, i, i == len(events)-1) {
			return
		}
	}
	s.tell()
}

// spoil does what the fault does before event i and reports whether the stream is over.
func (s *sender) spoil(i int) bool {
	if i != s.fault.After {
		return false
	}
	switch s.fault.Kind {
	case Cut:
		panic(http.ErrAbortHandler)
	case Hang:
		<-s.gone
		return true
	case ErrorBody:
		p, _ := s.fault.problem(s.q.dialect, s.q.model)
		s.send(s.errorEvent(p), i, true)
		return true
	}
	return false
}

func (s *sender) errorEvent(p problem) event {
	body := p.body(s.q.dialect)
	switch s.q.dialect {
	case llm.Anthropic:
		return event{"error", body}
	case llm.Responses:
		return event{"response.failed", object{
			"type": "response.failed", "sequence_number": s.fault.After,
			"response": object{"id": "resp_failed", "object": "response", "status": "failed", "error": object{"code": p.code, "message": p.message}, "output": []any{}, "usage": nil},
		}}
	}
	return event{data: body}
}

func (s *sender) send(e event, i int, last bool) bool {
	var line bytes.Buffer
	text, is := e.data.(string)
	if !is {
		data, err := json.Marshal(e.data)
		if err != nil {
			panic(err) // a script's args that are no JSON
		}
		text = string(data)
	}
	if s.q.array {
		line.WriteString(map[bool]string{true: "[", false: ",\r\n"}[i == 0] + text)
		if last {
			line.WriteString("]")
		}
	} else {
		if e.name != "" {
			line.WriteString("event: " + e.name + "\n")
		}
		line.WriteString("data: " + text + "\n\n")
	}
	if _, err := s.w.Write(line.Bytes()); err != nil {
		return false
	}
	s.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.call.Events++
	return true
}

func (s *sender) wait() {
	if s.delay <= 0 {
		return
	}
	timer := time.NewTimer(s.delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.gone:
	}
}

func (s *sender) flush() {
	http.NewResponseController(s.w).Flush() //nolint:errcheck // a writer that can't flush sends at the end
}
