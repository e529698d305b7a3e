package sse_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"oddish/internal/llm/sse"
)

func collect(src sse.Source) (raw string, data []string, err error) {
	for {
		e, err := src.Next()
		raw += string(e.Raw)
		if errors.Is(err, io.EOF) {
			return raw, data, nil
		}
		if err != nil {
			return raw, data, err
		}
		if len(e.Data) > 0 {
			data = append(data, string(e.Data))
		}
	}
}

func TestReaderKeepsEveryByteAndFindsTheData(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     []string
		err      error
	}{
		{"nothing", "", nil, nil},
		{"two events", "data: a\n\ndata: b\n\n", []string{"a", "b"}, nil},
		{"lines end with CR LF", "event: x\r\ndata: a\r\n\r\ndata: b\r\n\r\n", []string{"a", "b"}, nil},
		{"no space after the colon", "data:a\n\n", []string{"a"}, nil},
		{"several data lines are joined", "data: a\ndata: b\n\n", []string{"a\nb"}, nil},
		{"comments carry no data", ": keep-alive\n\ndata: a\n\n", []string{"a"}, nil},
		{"the last blank line is missing", "data: a\n\ndata: b\n", []string{"a", "b"}, nil},
		{"cut within a line", "data: a\n\ndata: {\"x", []string{"a"}, io.ErrUnexpectedEOF},
		{"a line longer than the buffer", "data: " + strings.Repeat("x", 9000) + "\n\n", []string{strings.Repeat("x", 9000)}, nil},
		{"longer than the limit", "data: " + strings.Repeat("x", 30000) + "\n\n", nil, sse.ErrTooLong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, in := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in))} {
				raw, data, err := collect(sse.NewReader(in, 20000))
				if !errors.Is(err, tt.err) || (err == nil && raw != tt.in) {
					t.Errorf("raw = %q, error %v; want %q, %v", raw, err, tt.in, tt.err)
				}
				if strings.Join(data, "|") != strings.Join(tt.want, "|") {
					t.Errorf("data = %q, want %q", data, tt.want)
				}
			}
		})
	}
}

func TestArrayKeepsEveryByteAndFindsTheElements(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     []string
		err      error
	}{
		{"empty", "[]", nil, nil},
		{"two elements", "[{\"a\":1}\n,\r\n{\"b\":{\"c\":2}}]\n", []string{`{"a":1}`, `{"b":{"c":2}}`}, nil},
		{"braces and quotes in strings", `[{"a":"}\"{"}]`, []string{`{"a":"}\"{"}`}, nil},
		{"cut within an element", `[{"a":1},{"b"`, []string{`{"a":1}`}, io.ErrUnexpectedEOF},
		{"longer than the limit", `[{"a":"` + strings.Repeat("x", 2000) + `"}]`, nil, sse.ErrTooLong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			raw, data, err := collect(sse.NewArray(strings.NewReader(tt.in), 1000))
			if !errors.Is(err, tt.err) || (err == nil && raw != tt.in) {
				t.Errorf("raw = %q, error %v; want %q, %v", raw, err, tt.in, tt.err)
			}
			if strings.Join(data, "|") != strings.Join(tt.want, "|") {
				t.Errorf("data = %q, want %q", data, tt.want)
			}
		})
	}
}

func FuzzReaderKeepsEveryByte(f *testing.F) {
	f.Add("data: a\n\n: c\n\ndata: {\"x\":1}\r\n\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		for _, src := range []sse.Source{sse.NewReader(strings.NewReader(in), 1<<20), sse.NewArray(strings.NewReader(in), 1<<20)} {
			if raw, _, _ := collect(src); raw != in {
				t.Errorf("raw = %q, want %q", raw, in)
			}
		}
	})
}
