// Package nearest guesses what a mistyped word was meant to be. It is for suggestions in error messages only.
package nearest

import (
	"slices"
	"strings"
)

// maxWord is how long a word may be to be guessed at, in bytes.
const maxWord = 64

// To gives the known word that was probably meant: one that begins with the word, or ends with it after an underscore or hyphen, else the
// closest by at most two edits that are no more than a third of it; empty if there is none.
func To(word string, known []string) string {
	if len(word) > maxWord {
		return ""
	}
	begins := func(k string) bool { return strings.HasPrefix(k, word) }
	ends := func(k string) bool {
		return len(word) >= 4 && (strings.HasSuffix(k, "_"+word) || strings.HasSuffix(k, "-"+word))
	}
	for _, has := range []func(string) bool{begins, ends} {
		if i := slices.IndexFunc(known, has); i >= 0 && len(word) >= 2 {
			return known[i]
		}
	}
	best, least := "", 3
	for _, k := range known {
		if d := distance(word, k); d < least && 3*d <= len(k) {
			best, least = k, d
		}
	}
	return best
}

// distance is the number of edits of one byte between a and b (Levenshtein).
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
