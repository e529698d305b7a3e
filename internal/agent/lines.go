package agent

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
)

// maxLine is the longest line of a log that is read; longer ones are passed over.
const maxLine = 32 << 20

// eachLine gives the lines of a file that are JSON objects. One that is missing has none, and a line that is cut off is passed over: the agent
// may have been killed.
func eachLine(path string, f func(line []byte)) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	r := bufio.NewReaderSize(file, 64<<10)
	var line []byte
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if long = long || len(line)+len(part) > maxLine; !long {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if !long && len(line) > 1 && line[0] == '{' {
			f(line)
		}
		if err != nil {
			return nil
		}
		line, long = line[:0], false
	}
}

// eachEvent gives the lines of a file as T, those that are not one left out.
func eachEvent[T any](path string, f func(*T)) error {
	return eachLine(path, func(line []byte) {
		e := new(T)
		if json.Unmarshal(line, e) == nil {
			f(e)
		}
	})
}

// object gives what a tool was called with as an object.
func object(raw json.RawMessage) map[string]any {
	out := map[string]any{}
	if len(raw) == 0 || string(raw) == "null" {
		return out
	}
	if json.Unmarshal(raw, &out) == nil && out != nil {
		return out
	}
	var v any
	if json.Unmarshal(raw, &v) != nil {
		v = string(raw)
	}
	if s, ok := v.(string); ok { // some programs give the arguments as text that is JSON
		if json.Unmarshal([]byte(s), &out) == nil && out != nil {
			return out
		}
	}
	return map[string]any{"input": v}
}
