package client

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
)

// maxEventLine bounds one line of an event stream, in bytes.
const maxEventLine = 1 << 20

// sseEvent is one event of a text/event-stream.
type sseEvent struct {
	id    string
	event string // empty: message
	data  []byte
}

// sseReader reads a text/event-stream as the HTML standard says, except that the last id
// is remembered by whoever reads.
type sseReader struct {
	lines *bufio.Scanner
	retry time.Duration // last wait that the server asked for; zero: none
}

func newSSEReader(r io.Reader) *sseReader {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 4096), maxEventLine)
	s.Split(splitLine)
	return &sseReader{lines: s}
}

// next returns the next event with data; io.EOF at the end of the stream, where an event
// without its closing empty line is dropped, because it may be cut.
func (r *sseReader) next() (sseEvent, error) {
	var e sseEvent
	var data [][]byte
	for r.lines.Scan() {
		line := r.lines.Text()
		if line == "" {
			if data == nil {
				e = sseEvent{}
				continue
			}
			e.data = bytes.Join(data, []byte("\n"))
			return e, nil
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.event = value
		case "data":
			data = append(data, []byte(value))
		case "retry":
			if ms, err := strconv.ParseUint(value, 10, 31); err == nil {
				r.retry = time.Duration(ms) * time.Millisecond
			}
		}
	}
	if err := r.lines.Err(); err != nil {
		return sseEvent{}, err
	}
	return sseEvent{}, io.EOF
}

// splitLine ends lines at \n, \r\n or \r. A line at the end of the stream without an ending is dropped.
func splitLine(data []byte, atEOF bool) (int, []byte, error) {
	i := bytes.IndexAny(data, "\r\n")
	switch {
	case i < 0 && atEOF:
		return len(data), nil, nil
	case i < 0:
		return 0, nil, nil
	case data[i] == '\n':
		return i + 1, data[:i], nil
	case i+1 < len(data) && data[i+1] == '\n':
		return i + 2, data[:i], nil
	case i+1 == len(data) && !atEOF:
		return 0, nil, nil // the \n may still come
	}
	return i + 1, data[:i], nil
}

// errNotEvents: the answer is no event stream.
var errNotEvents = errors.New("the answer is not an event stream")
