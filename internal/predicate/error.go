package predicate

import (
	"fmt"
	"slices"
	"strings"
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
	if meant := nearest(strings.ToLower(word), known); meant != "" {
		message += "; did you mean " + meant + "?"
	} else {
		message += ";"
	}
	return message + " Known are " + strings.Join(known, ", ")
}

// nearest gives the known word that was probably meant, or nothing.
func nearest(word string, known []string) string {
	if len(word) > 40 {
		return ""
	}
	if i := slices.IndexFunc(known, func(k string) bool { return len(word) >= 2 && strings.HasPrefix(k, word) }); i >= 0 {
		return known[i]
	}
	best, least := "", 3
	for _, k := range known {
		if d := distance(word, k); d < least && 2*d < len(k) {
			best, least = k, d
		}
	}
	return best
}

// distance is the number of edits of one character between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
