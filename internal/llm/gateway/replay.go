package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
)

// replayer answers requests from a recording, in the place of a transport to providers. Requests are matched by what they ask, so they may come in
// another order; of equal ones the first recorded answers first, and the last again when there are no more. It is safe for concurrent use.
type replayer struct {
	canon     canon
	recording *Recording

	mu         sync.Mutex
	byDigest   map[string][]int // exchanges not answered yet
	used       []bool
	requests   int
	divergence *DivergenceInfo
}

// DivergenceInfo says where a replay first asked what was not recorded.
type DivergenceInfo struct {
	Request  int    `json:"request"`  // number of the request, from 1
	Recorded int    `json:"recorded"` // number of the recorded exchange that was to come, from 1; 0: all were used
	Path     string `json:"path"`     // where in the request, such as body.messages[2].content
	Was      string `json:"was"`      // there in the recording
	Is       string `json:"is"`       // there now
	// Asked and Expected are both requests, without what differs from run to run; Expected is nil if all were used.
	Asked    any `json:"asked"`
	Expected any `json:"expected"`
}

func (d DivergenceInfo) String() string {
	if d.Recorded == 0 {
		return fmt.Sprintf("request %d was not recorded: the recording ends before it", d.Request)
	}
	return fmt.Sprintf("request %d was not recorded: at %s it has %s, where recorded request %d has %s", d.Request, d.Path, d.Is, d.Recorded, d.Was)
}

// newReplayer makes a replayer that has answered with the exchanges of those numbers already.
func newReplayer(rec *Recording, answered []int) *replayer {
	r := &replayer{canon: newCanon(), byDigest: map[string][]int{}, recording: rec, used: make([]bool, rec.Len()), requests: len(answered)}
	for i, e := range rec.exchanges {
		r.byDigest[e.digest] = append(r.byDigest[e.digest], i)
	}
	for _, n := range answered {
		if n > 0 && n <= rec.Len() {
			r.use(n - 1)
		}
	}
	return r
}

// Divergence gives the first request that was not recorded, or nil.
func (r *replayer) Divergence() *DivergenceInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.divergence
}

// answer answers from the recording and gives the number of the exchange, or with status 400 that tells the divergence, at which agents stop.
func (r *replayer) answer(request *http.Request) (_ *http.Response, number int, err error) {
	var body []byte
	if request.Body != nil {
		if body, err = io.ReadAll(request.Body); err != nil {
			return nil, 0, err
		}
		request.Body.Close() //nolint:errcheck // it is in memory
	}
	route := parseRoute(request.Method, request.URL.Path)
	tree, digest, err := r.canon.request(route, body)
	if err != nil {
		return nil, 0, err
	}
	if i, found := r.take(digest); found {
		answer, err := r.again(request, i)
		return answer, i + 1, err
	}
	message := badRequest("The replay has left its recording: " + r.diverged(route, tree).String())
	data, err := json.Marshal(message.body(route.dialect))
	if err != nil {
		return nil, 0, err
	}
	return response(request, message.status, "application/json", bytes.NewReader(data)), 0, nil
}

// again answers as exchange i was answered, as far as it was: an agent that did not wait for the end then need not get one now.
func (r *replayer) again(request *http.Request, i int) (*http.Response, error) {
	e, err := r.recording.read(i)
	if err != nil {
		return nil, err
	}
	var body io.Reader = bytes.NewReader(e.answer())
	switch {
	case e.Cut != "" && e.Status == 0:
		<-request.Context().Done()
		return nil, context.Cause(request.Context())
	case e.Cut == cutByAgent:
		body = io.MultiReader(body, endless{request.Context()})
	case e.Cut == cutByProvider:
		body = io.MultiReader(body, broken{})
	}
	return response(request, e.Status, e.ContentType, body), nil
}

// endless has nothing to read until the context ends.
type endless struct{ ctx context.Context }

func (e endless) Read([]byte) (int, error) {
	<-e.ctx.Done()
	return 0, context.Cause(e.ctx)
}

// broken is the rest of an answer that was cut.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// take chooses the exchange that answers.
func (r *replayer) take(digest string) (int, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	left := r.byDigest[digest]
	if len(left) == 0 {
		return 0, false
	}
	i := left[0]
	r.use(i)
	return i, true
}

// use marks an exchange. The last of equal ones stays for those who ask once more.
func (r *replayer) use(i int) {
	digest := r.recording.exchanges[i].digest
	if left := r.byDigest[digest]; len(left) > 1 {
		r.byDigest[digest] = slices.DeleteFunc(left, func(j int) bool { return j == i })
	}
	r.used[i] = true
}

// diverged compares with the first recorded request of the same kind that was not used, which is what was to come.
func (r *replayer) diverged(route route, tree any) DivergenceInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := DivergenceInfo{Request: r.requests, Asked: tree}
	if next := r.next(route.rest); next >= 0 {
		d.Recorded = next + 1
		d.Path, d.Was, d.Is, d.Expected = r.compare(next, tree)
	}
	if r.divergence == nil {
		r.divergence = &d
	}
	return d
}

// next gives the first exchange that was not used, one with the path if there is one; -1: all were used.
func (r *replayer) next(path string) int {
	first := slices.Index(r.used, false)
	for i := max(first, 0); i < len(r.used); i++ {
		if !r.used[i] && r.recording.exchanges[i].path == path {
			return i
		}
	}
	return first
}

// compare finds where the request first differs from exchange i.
func (r *replayer) compare(i int, tree any) (path, was, is string, expected any) {
	e, err := r.recording.read(i)
	if err == nil {
		expected, _, err = r.canon.request(parseRoute(http.MethodPost, e.Path), e.Request)
	}
	if err != nil {
		return "the whole", err.Error(), "another request", nil
	}
	path, was, is = difference("", expected, tree)
	return path, was, is, expected
}

func response(request *http.Request, status int, mime string, body io.Reader) *http.Response {
	return &http.Response{
		Status: strconv.Itoa(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: request,
		Header: http.Header{"Content-Type": {mime}}, Body: io.NopCloser(body), ContentLength: -1,
	}
}
