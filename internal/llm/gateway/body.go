package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"oddish/internal/llm"
)

// question is what the gateway needs to know of a request's body.
type question struct {
	Model      string
	Stream     bool
	Background bool

	options field // stream_options
	model   field
}

// wantsUsage reports whether the client itself asked for the usage of a chat stream.
func (q question) wantsUsage(body []byte) bool {
	var options struct {
		Usage bool `json:"include_usage"`
	}
	return json.Unmarshal(q.options.in(body), &options) == nil && options.Usage
}

// ask reads a body. Names count exactly as the providers take them, and twice the same is refused: what is checked here must be what
// is understood there.
func ask(body []byte) (question, error) {
	var q question
	fields, err := topFields(body)
	if err != nil {
		return q, err
	}
	seen := map[string]bool{}
	for _, f := range fields {
		var to any
		switch f.name {
		case "model":
			to, q.model = &q.Model, f
		case "stream":
			to = &q.Stream
		case "background":
			to = &q.Background
		case "stream_options":
			to, q.options = new(any), f
		default:
			continue
		}
		if seen[f.name] {
			return q, fmt.Errorf("it has %q twice", f.name)
		}
		seen[f.name] = true
		if err := json.Unmarshal(f.in(body), to); err != nil {
			return q, fmt.Errorf("its %q: %w", f.name, err)
		}
	}
	return q, nil
}

var errTooLarge = errors.New("the request is too large")

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, question, error) {
	var q question
	body, err := readAll(http.MaxBytesReader(w, r.Body, limit), r.ContentLength)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, q, errTooLarge
	}
	if err != nil {
		return nil, q, fmt.Errorf("read the request: %w", err)
	}
	if q, err = ask(body); err != nil {
		return nil, q, fmt.Errorf("the request is not in the form of the API: %w", err)
	}
	return body, q, nil
}

// mostTrusted is how much room a request gets for no more than saying how long it is.
const mostTrusted = 1 << 20

// readAll is io.ReadAll for what is said to be so long; below 0: unknown.
func readAll(r io.Reader, length int64) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(int(min(max(length, 0), mostTrusted)) + bytes.MinRead) // so that there is room to see the end
	_, err := b.ReadFrom(r)
	return b.Bytes(), err
}

// setField gives the body with the value of a top-level field replaced, or added if the field is not there. All other bytes stay as the agent
// wrote them, since providers cache by what they get.
func setField(body []byte, f field, name string, value any) ([]byte, error) {
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	if f.to > 0 {
		return slices.Concat(body[:f.from], encoded, body[f.to:]), nil
	}
	open := bytes.IndexByte(body, '{') + 1
	added := fmt.Appendf(nil, "%q:%s", name, encoded)
	if rest := bytes.TrimLeft(body[open:], " \t\r\n"); len(rest) > 0 && rest[0] != '}' {
		added = append(added, ',')
	}
	return slices.Concat(body[:open], added, body[open:]), nil
}

// askForUsage gives the body of a chat stream with the wish for its usage added.
func askForUsage(body []byte, q question) ([]byte, error) {
	options := map[string]any{}
	if given := q.options.in(body); given != nil {
		if err := json.Unmarshal(given, &options); err != nil || options == nil {
			options = map[string]any{}
		}
	}
	options["include_usage"] = true
	return setField(body, q.options, "stream_options", options)
}

// adapt gives the body and the route to send: with the model that the trial maps to, and with the wish for usage where the provider tells it
// only on request. injected says that the client did not have that wish.
func (x *exchange) adapt() (body []byte, r route, injected bool, err error) {
	body, r, q := x.body, x.route.withModel(x.sent), x.question
	if x.sent != x.asked && r.dialect != llm.Gemini {
		if body, err = setField(body, q.model, "model", x.sent); err != nil {
			return nil, r, false, err
		}
		if q, err = ask(body); err != nil { // the fields have moved
			return nil, r, false, err
		}
	}
	if r.dialect != llm.Chat || !q.Stream || q.wantsUsage(body) || x.gateway.refusesStreamOptions(x.upstream) {
		return body, r, false, nil
	}
	body, err = askForUsage(body, q)
	return body, r, true, err
}
