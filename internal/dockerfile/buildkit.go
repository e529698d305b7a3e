package dockerfile

import (
	"bytes"
	"regexp"
	"strings"
)

// extension matches what only BuildKit's builder understands of a Dockerfile: flags of instructions, here-documents, a frontend that is named.
var extension = regexp.MustCompile(`(?mi)^[ \t]*(?:(?:RUN|COPY|ADD)[ \t]+(?:--[a-z]+(?:=\S+)?[ \t]+)*--(?:mount|network|security|chmod|link|parents|exclude|checksum|keep-git-dir|unpack)\b|(?:RUN|COPY|ADD)\b.*<<-?["']?[A-Za-z_]|#[ \t]*syntax[ \t]*=)`)

// NeedsBuildKit finds the first thing in a Dockerfile that docker's classic builder does not understand: its text, and its line, from 1. needs is false if there is none.
func NeedsBuildKit(text []byte) (what string, line int, needs bool) {
	at := extension.FindIndex(text)
	if at == nil {
		return "", 0, false
	}
	return strings.TrimSpace(string(text[at[0]:at[1]])), 1 + bytes.Count(text[:at[0]], []byte("\n")), true
}
