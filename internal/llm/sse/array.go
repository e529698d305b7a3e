package sse

import (
	"bufio"
	"errors"
	"io"
)

// Array reads the elements of a JSON array of objects as events: what Gemini streams to a client that did not ask for
// server-sent events. Brackets, commas and white space between elements belong to the event that follows them, and
// those at the end make a last event without data.
type Array struct {
	in  *bufio.Reader
	max int
	raw []byte
}

var _ Source = (*Array)(nil)

// NewArray reads elements of at most max bytes from in.
func NewArray(in io.Reader, max int) *Array {
	return &Array{in: bufio.NewReaderSize(in, 4<<10), max: max}
}

// Next reads to the brace that closes an element.
func (a *Array) Next() (Event, error) {
	a.raw = a.raw[:0]
	var s scan
	for {
		c, err := a.in.ReadByte()
		if err != nil {
			return a.end(s, err)
		}
		a.raw = append(a.raw, c)
		if len(a.raw) > a.max {
			return Event{Raw: a.raw}, ErrTooLong
		}
		if s.step(c, len(a.raw)-1) {
			return Event{Raw: a.raw, Data: a.raw[s.start:]}, nil
		}
	}
}

func (a *Array) end(s scan, err error) (Event, error) {
	switch {
	case !errors.Is(err, io.EOF):
		return Event{Raw: a.raw}, err
	case s.depth > 0:
		return Event{Raw: a.raw}, io.ErrUnexpectedEOF
	case len(a.raw) == 0:
		return Event{}, io.EOF
	}
	return Event{Raw: a.raw}, nil
}

// scan follows braces outside strings.
type scan struct {
	start, depth    int
	quoted, escaped bool
}

// step takes the byte at offset i and reports whether it closes an object.
func (s *scan) step(c byte, i int) bool {
	switch {
	case s.escaped:
		s.escaped = false
	case s.quoted:
		s.escaped, s.quoted = c == '\\', c != '"'
	case c == '"':
		s.quoted = true
	case c == '{':
		if s.depth == 0 {
			s.start = i
		}
		s.depth++
	case c == '}' && s.depth > 0:
		s.depth--
		return s.depth == 0
	}
	return false
}
