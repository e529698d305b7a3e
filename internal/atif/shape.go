package atif

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// kind says what a key holds: it looks at the value, which is not null, and reports what is wrong with it.
type kind func(s *shape, at string, value any)

// field is a key that an object may have.
type field struct {
	kind     kind
	since    int // minor version with which it came
	required bool
}

// shape finds what the types of this package cannot: unknown keys, values of a wrong type, keys that are missing, and keys that came
// only after the version of their trajectory.
type shape struct {
	minor int
	errs  []error
}

// checkShape gives everything that is wrong with the form of a trajectory.
func checkShape(data []byte) ([]error, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, err
	}
	s := &shape{}
	trajectoryShape(s, "", tree)
	return s.errs, nil
}

func (s *shape) fail(at, format string, args ...any) {
	s.errs = append(s.errs, fault(at, format, args...))
}

// fault is an error at a place in a trajectory, such as steps[2].tool_calls[0].
func fault(at, format string, args ...any) error {
	if at == "" {
		return fmt.Errorf(format, args...)
	}
	return fmt.Errorf("%s: "+format, append([]any{at}, args...)...)
}

// member gives the place of a key.
func member(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}

func element(at string, i int) string { return fmt.Sprintf("%s[%d]", at, i) }

// object makes the kind of an object with these keys and no others.
func object(fields map[string]field) kind {
	return func(s *shape, at string, value any) {
		m, is := value.(map[string]any)
		if !is {
			s.fail(at, "must be an object")
			return
		}
		for _, key := range slices.Sorted(maps.Keys(m)) {
			f, known := fields[key]
			switch {
			case !known:
				s.fail(member(at, key), "is no key of ATIF: what is yours belongs into extra")
			case m[key] == nil: // as if it were not there
			case f.since > s.minor:
				s.fail(member(at, key), "needs at least ATIF-v1.%d", f.since)
			default:
				f.kind(s, member(at, key), m[key])
			}
		}
		for _, key := range slices.Sorted(maps.Keys(fields)) {
			if fields[key].required && m[key] == nil {
				s.fail(member(at, key), "is missing")
			}
		}
	}
}

// list makes the kind of a list of which every element is of one kind.
func list(of kind) kind {
	return func(s *shape, at string, value any) {
		l, is := value.([]any)
		if !is {
			s.fail(at, "must be a list")
			return
		}
		for i, e := range l {
			of(s, element(at, i), e)
		}
	}
}

// anything is the kind of an object whose keys are free, such as extra.
func anything(s *shape, at string, value any) {
	if _, is := value.(map[string]any); !is {
		s.fail(at, "must be an object")
	}
}

func text(s *shape, at string, value any) {
	if _, is := value.(string); !is {
		s.fail(at, "must be text")
	}
}

func number(s *shape, at string, value any) {
	if _, is := value.(json.Number); !is {
		s.fail(at, "must be a number")
	}
}

func integer(s *shape, at string, value any) {
	n, is := value.(json.Number)
	if _, err := n.Int64(); !is || err != nil {
		s.fail(at, "must be a whole number")
	}
}

func boolean(s *shape, at string, value any) {
	if _, is := value.(bool); !is {
		s.fail(at, "must be true or false")
	}
}

func textOrNumber(s *shape, at string, value any) {
	switch value.(type) {
	case string, json.Number:
	default:
		s.fail(at, "must be text or a number")
	}
}

// content is a text, or since 1.6 a list of parts.
func content(s *shape, at string, value any) {
	switch value.(type) {
	case string:
	case []any:
		if s.minor < 6 {
			s.fail(at, "a list of parts needs at least ATIF-v1.6")
		}
		list(object(map[string]field{
			"type": {kind: text, required: true}, "text": {kind: text},
			"source": {kind: object(map[string]field{"media_type": {kind: text, required: true}, "path": {kind: text, required: true}})},
		}))(s, at, value)
	default:
		s.fail(at, "must be text or a list of parts")
	}
}
