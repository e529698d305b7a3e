package agent

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"

	"oddish/internal/atif"
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

// readRecord reads a file that is one JSON document, which some programs write anew after every step. It is nil if there is none, or if the program was
// killed while it wrote it.
func readRecord[T any](path string) (*T, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	record := new(T)
	if json.Unmarshal(data, record) != nil {
		return nil, nil
	}
	return record, nil
}

// object gives what a tool was called with as an object.
func object(raw json.RawMessage) map[string]any { return atif.Arguments(raw) }
