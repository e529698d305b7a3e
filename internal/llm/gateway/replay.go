package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"

	"oddish/internal/llm"
)

// Exchange is what a recording keeps of a request: enough to recognise it and to answer it again.
type Exchange struct {
	Digest      string          `json:"digest"` // of the canonical form
	Path        string          `json:"path"`   // as sent to the provider, without the base
	Request     json.RawMessage `json:"request,omitempty"`
	Status      int             `json:"status"`
	ContentType string          `json:"content_type,omitempty"`
	Answer      string          `json:"answer,omitempty"`
	Bytes       []byte          `json:"answer_bytes,omitempty"` // instead of Answer where that is not text
}

func (e Exchange) answer() []byte {
	if e.Bytes != nil {
		return e.Bytes
	}
	return []byte(e.Answer)
}

// record keeps bytes of the provider's answer, with Trial.Record.
func (x *exchange) record(data []byte) {
	if !x.session.trial.Record {
		return
	}
	if x.recorded == nil {
		x.recorded = &bytes.Buffer{}
	}
	x.recorded.Write(data)
}

// exchanged gives what the log keeps for a replay; nil for what was not answered by a provider or was cut.
func (x *exchange) exchanged() *Exchange {
	if !x.session.trial.Record || x.recorded == nil || x.cut {
		return nil
	}
	body, route, _, err := x.adapt()
	if err != nil {
		return nil
	}
	_, digest, err := newCanon().request(route.rest, body)
	if err != nil {
		return nil
	}
	e := &Exchange{Digest: digest, Path: route.rest, Request: body, Status: x.status, ContentType: x.mimeType}
	if utf8.Valid(x.recorded.Bytes()) {
		e.Answer = x.recorded.String()
	} else {
		e.Bytes = x.recorded.Bytes()
	}
	return e
}

// Recording holds the exchanges of a session's log in their order.
type Recording struct {
	exchanges []Exchange
}

// LoadRecording reads the log of a session that was recorded. Lines without an exchange are passed over.
func LoadRecording(r io.Reader) (*Recording, error) {
	rec := &Recording{}
	lines := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var e Entry
			if err := json.Unmarshal(line, &e); err != nil {
				return nil, fmt.Errorf("line %d of the recording: %w", n, err)
			}
			if e.Exchange != nil {
				rec.exchanges = append(rec.exchanges, *e.Exchange)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the recording: %w", err)
		}
	}
	if len(rec.exchanges) == 0 {
		return nil, fmt.Errorf("the recording holds no exchange: was the trial run with recording on?")
	}
	return rec, nil
}

// Len gives the number of exchanges.
func (r *Recording) Len() int { return len(r.exchanges) }

// Replayer answers requests from a recording, in the place of a transport to providers. Requests are matched by what they ask, so they may come in
// another order; of equal ones the first recorded answers first, and the last again when there are no more. It is safe for concurrent use.
type Replayer struct {
	canon canon

	mu         sync.Mutex
	byDigest   map[string][]int // exchanges not answered yet
	used       []bool
	recording  *Recording
	requests   int
	divergence *DivergenceInfo
}

var _ http.RoundTripper = (*Replayer)(nil)

// DivergenceInfo says where a replay first asked what was not recorded.
type DivergenceInfo struct {
	Request  int    `json:"request"`  // number of the request, from 1
	Recorded int    `json:"recorded"` // number of the recorded exchange that is most alike, from 1; 0: all were used
	Path     string `json:"path"`     // where in the request, such as body.messages[2].content
	Was      string `json:"was"`      // there in the recording
	Is       string `json:"is"`       // there now
}

func (d DivergenceInfo) String() string {
	if d.Recorded == 0 {
		return fmt.Sprintf("request %d was not recorded: the recording ends before it", d.Request)
	}
	return fmt.Sprintf("request %d was not recorded: at %s it has %s, where recorded request %d has %s", d.Request, d.Path, d.Is, d.Recorded, d.Was)
}

// NewReplayer makes a replayer that has answered nothing yet.
func NewReplayer(rec *Recording) *Replayer {
	r := &Replayer{canon: newCanon(), byDigest: map[string][]int{}, recording: rec, used: make([]bool, len(rec.exchanges))}
	for i, e := range rec.exchanges {
		r.byDigest[e.Digest] = append(r.byDigest[e.Digest], i)
	}
	return r
}

// Divergence gives the first request that was not recorded, or nil.
func (r *Replayer) Divergence() *DivergenceInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.divergence
}

// RoundTrip answers from the recording, or with status 400 that tells the divergence, at which agents stop.
func (r *Replayer) RoundTrip(request *http.Request) (*http.Response, error) {
	var body []byte
	if request.Body != nil {
		var err error
		if body, err = io.ReadAll(request.Body); err != nil {
			return nil, err
		}
		request.Body.Close() //nolint:errcheck // it is in memory
	}
	route := parseRoute(request.Method, request.URL.Path)
	tree, digest, err := r.canon.request(route.rest, body)
	if err != nil {
		return nil, err
	}
	if e, found := r.take(digest); found {
		return response(request, e.Status, e.ContentType, e.answer()), nil
	}
	d := r.diverged(tree)
	message := badRequest("The replay has left its recording: " + d.String())
	data, err := json.Marshal(message.body(route.dialect))
	if err != nil {
		return nil, err
	}
	return response(request, message.status, "application/json", data), nil
}

func (r *Replayer) take(digest string) (Exchange, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	left := r.byDigest[digest]
	if len(left) == 0 {
		return Exchange{}, false
	}
	if len(left) > 1 {
		r.byDigest[digest] = left[1:]
	}
	r.used[left[0]] = true
	return r.recording.exchanges[left[0]], true
}

// diverged finds the first recorded request that was not used, which is what was to come.
func (r *Replayer) diverged(tree any) DivergenceInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := DivergenceInfo{Request: r.requests}
	next := slices.Index(r.used, false)
	if next >= 0 {
		e := r.recording.exchanges[next]
		if recorded, _, err := r.canon.request(e.Path, e.Request); err == nil {
			d.Recorded = next + 1
			d.Path, d.Was, d.Is = difference("", recorded, tree)
		}
	}
	if r.divergence == nil {
		r.divergence = &d
	}
	return d
}

func response(request *http.Request, status int, mime string, body []byte) *http.Response {
	return &http.Response{
		Status: strconv.Itoa(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: request,
		Header: http.Header{"Content-Type": {mime}}, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// replayUpstreams gives an upstream for every dialect: in a replay none is called, so no key and no address is needed.
func replayUpstreams(given map[llm.Dialect]Upstream) map[llm.Dialect]Upstream {
	all := map[llm.Dialect]Upstream{}
	for _, d := range llm.Dialects() {
		all[d] = Upstream{Provider: given[d].Provider, BaseURL: "http://replay.invalid"}
	}
	return all
}
