package dockerfile

import (
	"io"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// Ignore reads a .dockerignore: the paths of a build's context that are not in it.
func Ignore(r io.Reader) (*patternmatcher.PatternMatcher, error) {
	patterns, err := ignorefile.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return patternmatcher.New(patterns)
}
