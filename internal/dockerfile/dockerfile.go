// Package dockerfile reads Dockerfiles. The language is BuildKit's, by its own parser; what our builder does not do is
// refused here, with file and line, before anything is built.
//
// The package knows nothing of images or sandboxes: package imagebuild, above it, carries out what was read.
package dockerfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// maxSize bounds a Dockerfile, in bytes.
const maxSize = 1 << 20

// File is a Dockerfile that was read.
type File struct {
	Name   string
	Args   []instructions.ArgCommand // before the first FROM
	Stages []instructions.Stage      // at least one
	Escape rune                      // of words: \ or `
}

// Error is what is wrong with a Dockerfile.
type Error struct {
	File string
	Line int // from 1; 0: unknown
	Err  error
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Parse reads a Dockerfile. name is how messages call it. What is wrong with it, or not supported, is an *Error.
func Parse(name string, r io.Reader) (*File, error) {
	f, err := Read(name, r)
	if err != nil {
		return nil, err
	}
	for _, s := range f.Stages {
		for _, c := range s.Commands {
			if err := supported(c); err != nil {
				return nil, f.At(c, err)
			}
		}
	}
	return f, nil
}

// Read is Parse for builders that may do what ours does not.
func Read(name string, r io.Reader) (*File, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > maxSize {
		return nil, &Error{File: name, Err: fmt.Errorf("it is larger than %d bytes", maxSize)}
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, &Error{File: name, Err: errors.New("it is empty")}
	}
	tree, err := parser.Parse(bytes.NewReader(data))
	if err != nil {
		return nil, located(name, err)
	}
	f := &File{Name: name, Escape: tree.EscapeToken}
	if f.Stages, f.Args, err = instructions.Parse(tree.AST, nil); err != nil {
		return nil, located(name, err)
	}
	if len(f.Stages) == 0 {
		return nil, &Error{File: name, Err: errors.New("it has no FROM")}
	}
	return f, nil
}

// Triggers reads the ONBUILD instructions of an image, which are carried out at the beginning of a stage that builds on it.
func Triggers(image string, lines []string) ([]instructions.Command, error) {
	name := "ONBUILD of " + image
	var all []instructions.Command
	for _, line := range lines {
		f, err := Parse(name, strings.NewReader("FROM scratch\n"+line))
		if err != nil {
			return nil, err
		}
		all = append(all, f.Stages[0].Commands...)
	}
	return all, nil
}

// At gives an error the place of the instruction.
func (f *File) At(c instructions.Command, err error) error {
	return &Error{File: f.Name, Line: line(c.Location()), Err: err}
}

// AtStage gives an error the place of the stage's FROM.
func (f *File) AtStage(s *instructions.Stage, err error) error {
	return &Error{File: f.Name, Line: line(s.Location), Err: err}
}

// Line is where an instruction begins, from 1.
func Line(c instructions.Command) int { return line(c.Location()) }

func line(ranges []parser.Range) int {
	if len(ranges) == 0 {
		return 0
	}
	return ranges[0].Start.Line
}

// located takes the place from the parser's error, and what it says of the place from the text.
func located(name string, err error) error {
	e := &Error{File: name, Err: err}
	var at *parser.LocationError
	if errors.As(err, &at) && len(at.Locations) > 0 {
		e.Line = line(at.Locations[0])
	}
	text := err.Error()
	if _, rest, cut := strings.Cut(text, fmt.Sprintf("parse error on line %d: ", e.Line)); cut {
		e.Err = errors.New(rest)
	}
	return e
}
