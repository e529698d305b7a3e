package predicate

import (
	"fmt"
	"strings"

	"oddish/internal/nearest"
)

// SyntaxError says where a text is no predicate, and what would be one there.
type SyntaxError struct {
	Column  int    // of Part, in characters, from 1
	Part    string // what is wrong, as written
	Message string
}

func (e *SyntaxError) Error() string {
	if e.Part == "" {
		return fmt.Sprintf("query, column %d: %s", e.Column, e.Message)
	}
	return fmt.Sprintf("query, column %d, at %q: %s", e.Column, e.Part, e.Message)
}

// unknown words the advice for a word that is none of the known ones.
func unknown(what, word string, known []string) string {
	message := "there is no " + what + " " + word
	if meant := nearest.To(strings.ToLower(word), known); meant != "" {
		message += "; did you mean " + meant + "?"
	} else {
		message += ";"
	}
	return message + " Known are " + strings.Join(known, ", ")
}
