package gateway

import (
	"encoding/json"
	"errors"
)

// field is a member of a JSON object: its name and where its value lies.
type field struct {
	name     string
	from, to int // to is 0 for a field that is not there
}

// in gives the field's value, or nil.
func (f field) in(body []byte) []byte {
	if f.to == 0 {
		return nil
	}
	return body[f.from:f.to]
}

// topFields gives the members of the object that the body is, without decoding their values: prompts are long, and only a few short
// fields matter here. Names are as written, so "model" and "Model" are two.
func topFields(body []byte) ([]field, error) {
	if !valid(body) {
		return nil, errors.New("it is not JSON")
	}
	s := scanner{body: body}
	if s.space(); s.body[s.at] != '{' {
		return nil, errors.New("it is not a JSON object")
	}
	s.at++
	var fields []field
	for s.space(); body[s.at] != '}'; s.space() {
		from := s.at
		s.value()
		var f field
		if err := json.Unmarshal(body[from:s.at], &f.name); err != nil {
			return nil, err
		}
		s.space()
		s.at++ // colon
		s.space()
		f.from = s.at
		s.value()
		f.to = s.at
		fields = append(fields, f)
		if s.space(); body[s.at] == ',' {
			s.at++
		}
	}
	return fields, nil
}

// scanner walks over JSON that is known to be valid.
type scanner struct {
	body []byte
	at   int
}

func (s *scanner) space() {
	for s.at < len(s.body) {
		switch s.body[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// value steps over one value.
func (s *scanner) value() {
	for depth := 0; ; {
		switch s.body[s.at] {
		case '"':
			s.text()
		case '{', '[':
			depth++
			s.at++
		case '}', ']':
			depth--
			s.at++
		case ',', ':', ' ', '\t', '\r', '\n':
			s.at++
			continue
		default:
			s.word()
		}
		if depth == 0 {
			return
		}
	}
}

// text steps over a string.
func (s *scanner) text() {
	for s.at++; s.body[s.at] != '"'; s.at++ {
		if s.body[s.at] == '\\' {
			s.at++
		}
	}
	s.at++
}

// word steps over a number, true, false or null.
func (s *scanner) word() {
	for s.at < len(s.body) {
		switch s.body[s.at] {
		case ',', '}', ']', ' ', '\t', '\r', '\n':
			return
		}
		s.at++
	}
}
