package sandbox

import "strings"

// Quote returns s as one word of a POSIX shell command.
func Quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
