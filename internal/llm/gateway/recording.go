package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
	"unicode/utf8"

	"oddish/internal/llm"
)

// Exchange is what a recording keeps of a request: enough to recognise it and to answer it again.
type Exchange struct {
	Digest      string          `json:"digest"` // of the canonical form
	Form        int             `json:"form,omitempty"`
	Path        string          `json:"path"` // as sent to the provider, without the base
	Request     json.RawMessage `json:"request,omitempty"`
	Status      int             `json:"status"` // 0: there was no answer yet when it was cut
	ContentType string          `json:"content_type,omitempty"`
	Answer      string          `json:"answer,omitempty"`
	Bytes       []byte          `json:"answer_bytes,omitempty"` // instead of Answer where that is not text
	Cut         string          `json:"cut,omitempty"`          // who ended the answer early: cutByAgent or cutByProvider; empty: it is whole
}

// Who cuts an answer.
const (
	cutByAgent    = "agent"
	cutByProvider = "provider"
)

func (e Exchange) answer() []byte {
	if e.Bytes != nil {
		return e.Bytes
	}
	return []byte(e.Answer)
}

// record keeps bytes of the answer, with Trial.Record.
func (x *exchange) record(data []byte) {
	if !x.session.trial.Record {
		return
	}
	if x.recorded == nil {
		x.recorded = &bytes.Buffer{}
	}
	x.recorded.Write(data)
}

// exchanged gives what the log keeps for a replay; nil for what neither a provider answered nor the trial was refused, unless the agent did not wait for it.
func (x *exchange) exchanged() *Exchange {
	if !x.session.trial.Record || x.recorded == nil && !(x.cut && x.attempts > 0) {
		return nil
	}
	body, route, _, err := x.adapt()
	if err != nil {
		return nil
	}
	_, digest, err := newCanon().request(route, body)
	if err != nil {
		return nil
	}
	e := &Exchange{Digest: digest, Form: canonForm, Path: route.rest, Request: body, Status: x.status, ContentType: x.mimeType}
	switch {
	case x.cut && x.r.Context().Err() != nil:
		e.Cut = cutByAgent
	case x.cut:
		e.Cut = cutByProvider
	}
	if x.recorded == nil {
		return e
	}
	if utf8.Valid(x.recorded.Bytes()) {
		e.Answer = x.recorded.String()
	} else {
		e.Bytes = x.recorded.Bytes()
	}
	return e
}

// Recording is the log of a session that was recorded, as an index: answers are read when they are needed, since each request repeats the
// conversation and all together are long. It is safe for concurrent use.
type Recording struct {
	file      io.ReaderAt
	exchanges []recorded
	spoken    map[llm.Dialect]string // the dialects of calls, with their providers
	sent      map[string]string      // models that were asked for → those that were sent instead
	called    map[string]bool        // models that answered, as they were asked for
	listed    bool                   // the provider was asked for its models
}

// recorded is where an exchange stands.
type recorded struct {
	began        time.Time
	digest, path string
	at, size     int64
}

// LoadRecording reads the log of a session that was recorded, which is size bytes long and must stay open as long as the recording is used. Lines without an
// exchange are passed over.
func LoadRecording(file io.ReaderAt, size int64) (*Recording, error) {
	rec := &Recording{file: file, spoken: map[llm.Dialect]string{}, sent: map[string]string{}, called: map[string]bool{}}
	lines := bufio.NewReaderSize(io.NewSectionReader(file, 0, size), 1<<20)
	at := int64(0)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read the recording: %w", err)
		}
		if len(bytes.TrimSpace(line)) > 0 {
			if err := rec.take(line, at); err != nil {
				return nil, fmt.Errorf("line %d of the recording: %w", n, err)
			}
		}
		if at += int64(len(line)); err != nil {
			break
		}
	}
	if len(rec.exchanges) == 0 {
		return nil, errors.New("the recording holds no exchange: was the trial run with recording on?")
	}
	// A line is written when its request has ended.
	slices.SortStableFunc(rec.exchanges, func(a, b recorded) int { return a.began.Compare(b.began) })
	return rec, nil
}

// take enters a line of the log, which begins at that offset.
func (r *Recording) take(line []byte, at int64) error {
	var e Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return err
	}
	if e.Exchange == nil {
		return nil
	}
	if e.Sent != "" {
		r.sent[e.Model] = e.Sent
	}
	route := parseRoute(e.Method, e.Exchange.Path)
	if route.kind == callRoute && e.Usage != nil {
		r.spoken[route.dialect], r.called[e.Model] = e.Provider, true
	}
	r.listed = r.listed || route.kind == modelsRoute
	digest := e.Exchange.Digest
	if e.Exchange.Form != canonForm { // it was made by another version
		var err error
		if _, digest, err = newCanon().request(route, e.Exchange.Request); err != nil {
			return err
		}
	}
	r.exchanges = append(r.exchanges, recorded{began: e.Time, digest: digest, path: e.Exchange.Path, at: at, size: int64(len(line))})
	return nil
}

// Len gives the number of exchanges.
func (r *Recording) Len() int { return len(r.exchanges) }

// Dialects lists those in which calls were made.
func (r *Recording) Dialects() []llm.Dialect {
	var list []llm.Dialect
	for _, d := range llm.Dialects() {
		if _, has := r.spoken[d]; has {
			list = append(list, d)
		}
	}
	return list
}

// read gives an exchange by its index.
func (r *Recording) read(i int) (Exchange, error) {
	line := make([]byte, r.exchanges[i].size)
	if _, err := r.file.ReadAt(line, r.exchanges[i].at); err != nil && !errors.Is(err, io.EOF) {
		return Exchange{}, fmt.Errorf("read recorded exchange %d: %w", i+1, err)
	}
	var e Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return Exchange{}, fmt.Errorf("read recorded exchange %d: %w", i+1, err)
	}
	if e.Exchange == nil {
		return Exchange{}, fmt.Errorf("read recorded exchange %d: the file was changed", i+1)
	}
	return *e.Exchange, nil
}

// upstreams gives an upstream for every dialect: in a replay none is called, so no key and no address is needed.
func (r *Recording) upstreams() map[llm.Dialect]Upstream {
	all := map[llm.Dialect]Upstream{}
	for _, d := range llm.Dialects() {
		all[d] = Upstream{Provider: r.spoken[d], BaseURL: "http://replay.invalid"}
	}
	return all
}

// models gives the rule by which names of models were resolved when it was recorded. What was refused then is refused by the recording.
func (r *Recording) models() models { return models{aliases: r.sent} }
