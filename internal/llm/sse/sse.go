// Package sse cuts the streams of model providers into events without changing a byte of them.
//
// It knows where an event ends, not what it means: package usage reads the meaning, package gateway passes the bytes on.
package sse

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// ErrTooLong is returned for an event longer than the limit of its reader.
var ErrTooLong = errors.New("event of the stream is longer than the limit")

// Event is one event of a stream.
type Event struct {
	Raw  []byte // the bytes as they came, with the blank line that ends them
	Data []byte // what the event carries: the data lines joined; empty for comments
}

// Source gives the events of a stream one after another. The bytes of an event are valid until the next call.
// At the end it returns io.EOF; with io.ErrUnexpectedEOF, or any other error, Raw holds what came of an unfinished event.
type Source interface {
	Next() (Event, error)
}

// Reader reads server-sent events.
type Reader struct {
	in   *bufio.Reader
	max  int
	raw  []byte
	data []byte
}

var _ Source = (*Reader)(nil)

// NewReader reads events of at most max bytes from in.
func NewReader(in io.Reader, max int) *Reader {
	return &Reader{in: bufio.NewReaderSize(in, 4<<10), max: max}
}

// Next reads to the blank line that ends an event. A last event without one counts as whole when it carries data,
// since some servers end so.
func (r *Reader) Next() (Event, error) {
	r.raw, r.data = r.raw[:0], r.data[:0]
	for {
		line, err := r.line()
		r.take(line)
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return Event{Raw: r.raw}, err
		case err != nil && len(r.raw) == 0:
			return Event{}, io.EOF
		case err != nil && len(line) > 0:
			return Event{Raw: r.raw}, io.ErrUnexpectedEOF
		case err != nil || len(bytes.TrimRight(line, "\r\n")) == 0:
			return Event{Raw: r.raw, Data: r.data}, nil
		}
	}
}

// line appends one line to raw and returns it.
func (r *Reader) line() ([]byte, error) {
	start := len(r.raw)
	for {
		part, err := r.in.ReadSlice('\n')
		r.raw = append(r.raw, part...)
		if errors.Is(err, bufio.ErrBufferFull) && len(r.raw) <= r.max {
			continue
		}
		if len(r.raw) > r.max {
			return nil, ErrTooLong
		}
		return r.raw[start:], err
	}
}

func (r *Reader) take(line []byte) {
	value, is := bytes.CutPrefix(line, []byte("data:"))
	if !is {
		return
	}
	value = bytes.TrimRight(bytes.TrimPrefix(value, []byte(" ")), "\r\n")
	if len(r.data) > 0 {
		r.data = append(r.data, '\n')
	}
	r.data = append(r.data, value...)
}
