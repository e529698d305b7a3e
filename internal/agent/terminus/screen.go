package terminus

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// limit keeps the first and last half of most bytes of a text, cut between characters, with a notice of what was left out.
func limit(text string, most int) string {
	if len(text) <= most {
		return text
	}
	head, tail := most/2, len(text)-most/2
	for head > 0 && !utf8.RuneStart(text[head]) {
		head--
	}
	for tail < len(text) && !utf8.RuneStart(text[tail]) {
		tail++
	}
	return fmt.Sprintf("%s\n[... output limited to %d bytes; %d bytes in between are left out ...]\n%s", text[:head], most, tail-head, text[tail:])
}

// maxAnchor bounds what is remembered of a terminal to find out later what is new, in bytes.
const maxAnchor = 16 << 10

// anchor is the end of what a terminal showed.
func anchor(all string) string {
	all = strings.TrimRight(all, " \n")
	if len(all) <= maxAnchor {
		return all
	}
	all = all[len(all)-maxAnchor:]
	_, whole, found := strings.Cut(all, "\n")
	if found {
		return whole
	}
	return strings.ToValidUTF8(all, "")
}

// observe tells what is new in the terminal since the anchor, or, if that cannot be told, what it shows.
func observe(before string, now Capture) string {
	all := strings.TrimRight(now.All, " \n")
	if before != "" {
		if i := strings.Index(all, before); i >= 0 {
			return "New Terminal Output:\n" + limit(strings.TrimLeft(all[i+len(before):], "\n"), maxObservation)
		}
	}
	return "Current Terminal Screen:\n" + limit(strings.TrimRight(now.Screen, " \n"), maxObservation)
}

// continues tells a shell that waits for the rest of a command, by its last line.
func continues(screen string) bool {
	screen = strings.TrimRight(screen, " \n")
	last := screen[strings.LastIndexByte(screen, '\n')+1:]
	switch strings.TrimSpace(last) {
	case ">", "heredoc>", "quote>", "dquote>":
		return true
	}
	return false
}
