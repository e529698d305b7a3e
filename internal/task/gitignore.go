package task

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// ignoreList decides which files are left out. It knows one file of patterns, that of the folder itself, and reads it as Harbor does, since digests depend
// on it: patterns are git's, but the last one that matches a file or a folder above it decides, so that what is below an ignored folder can be
// taken back in; and "folder/*" means what is directly in the folder.
type ignoreList []ignorePattern

type ignorePattern struct {
	match   *regexp.Regexp // against a whole relative path
	negate  bool
	dirOnly bool
	flat    bool // what lies below a folder that it matches is not covered
}

// defaultIgnore holds where a task has no .gitignore.
const defaultIgnore = "__pycache__/\n*.pyc\n.DS_Store\n*.swp\n*.swo\n*~\n"

// parseIgnore reads a .gitignore. As git does, it passes over patterns that make no sense.
func parseIgnore(text string) ignoreList {
	var list ignoreList
	for line := range strings.SplitSeq(strings.TrimPrefix(text, "\ufeff"), "\n") {
		if p, ok := parseIgnoreLine(strings.TrimSuffix(line, "\r")); ok {
			list = append(list, p)
		}
	}
	return list
}

func parseIgnoreLine(line string) (p ignorePattern, ok bool) {
	line = trimTrailingSpaces(line)
	if line == "" || line[0] == '#' {
		return p, false
	}
	if line[0] == '!' {
		p.negate, line = true, line[1:]
	}
	if trimmed := strings.TrimSuffix(line, "/"); trimmed != line {
		p.dirOnly, line = true, trimmed
	}
	anchored := strings.Contains(line, "/")
	line = strings.TrimPrefix(line, "/")
	if line == "" {
		return p, false
	}
	if strings.HasSuffix(line, "/**") && strings.Trim(strings.ReplaceAll(line, "**", ""), "/") != "" {
		p.dirOnly = false // with a slash behind it means the same
	}
	p.flat = anchored && !p.dirOnly && path.Base(line) == "*"
	if !anchored {
		line = "**/" + line
	}
	expr, ok := globToRegexp(line)
	if !ok {
		return p, false
	}
	re, err := regexp.Compile(expr)
	p.match = re
	return p, err == nil
}

// trimTrailingSpaces removes spaces at the end unless a backslash quotes them.
func trimTrailingSpaces(s string) string {
	for strings.HasSuffix(s, " ") {
		slashes := len(s) - 1 - len(strings.TrimRight(s[:len(s)-1], `\`))
		if slashes%2 == 1 {
			break
		}
		s = s[:len(s)-1]
	}
	return s
}

// globToRegexp translates a pattern that is relative to the top folder.
func globToRegexp(glob string) (string, bool) {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for i := 0; i < len(glob); {
		rest := glob[i:]
		atStart := i == 0 || glob[i-1] == '/'
		switch {
		case atStart && strings.HasPrefix(rest, "**/"):
			b.WriteString(`(?:[^/]+/)*`)
			i += 3
		case atStart && rest == "**":
			b.WriteString(`.+`)
			i += 2
		case rest[0] == '*':
			b.WriteString(`[^/]*`)
			i++
		case rest[0] == '?':
			b.WriteString(`[^/]`)
			i++
		case rest[0] == '[':
			class, n := classToRegexp(rest)
			if n == 0 {
				return "", false
			}
			b.WriteString(class)
			i += n
		case rest[0] == '\\':
			if len(rest) == 1 {
				return "", false
			}
			_, n := utf8.DecodeRuneInString(rest[1:])
			b.WriteString(regexp.QuoteMeta(rest[1 : 1+n]))
			i += 1 + n
		default:
			_, n := utf8.DecodeRuneInString(rest)
			b.WriteString(regexp.QuoteMeta(rest[:n]))
			i += n
		}
	}
	b.WriteString(`\z`)
	return b.String(), true
}

// classToRegexp translates the [class] that glob begins with and says how long it is; 0 if it is
// not closed. A negated class does not match a slash.
func classToRegexp(glob string) (string, int) {
	end := 1
	if end < len(glob) && (glob[end] == '!' || glob[end] == '^') {
		end++
	}
	if end < len(glob) && glob[end] == ']' {
		end++
	}
	for ; end < len(glob) && glob[end] != ']'; end++ {
		if glob[end] == '\\' {
			end++
		} else if strings.HasPrefix(glob[end:], "[:") {
			if close := strings.Index(glob[end:], ":]"); close > 0 {
				end += close + 1
			}
		}
	}
	if end >= len(glob) {
		return "", 0
	}
	body := glob[1:end]
	negated := body[0] == '!' || body[0] == '^'
	if negated {
		body = body[1:]
	}
	var b strings.Builder
	b.WriteByte('[')
	if negated {
		b.WriteString("^/")
	}
	writeClassBody(&b, body)
	b.WriteByte(']')
	return b.String(), end + 1
}

func writeClassBody(b *strings.Builder, body string) {
	for i := 0; i < len(body); i++ {
		switch {
		case strings.HasPrefix(body[i:], "[:") && strings.Contains(body[i:], ":]"):
			close := strings.Index(body[i:], ":]") + 2
			b.WriteString(body[i : i+close])
			i += close - 1
		case body[i] == '\\' && i+1 < len(body):
			i++
			if body[i] == '-' {
				b.WriteByte('\\')
			}
			b.WriteString(regexp.QuoteMeta(body[i : i+1]))
		case strings.IndexByte(`[]^\`, body[i]) >= 0:
			b.WriteString(`\` + body[i:i+1])
		default:
			b.WriteByte(body[i])
		}
	}
}

// ignored reports whether the file rel is left out.
func (l ignoreList) ignored(rel string) bool {
	for i := len(l) - 1; i >= 0; i-- {
		if l[i].covers(rel) {
			return !l[i].negate
		}
	}
	return false
}

// covers reports whether the pattern matches a file or a folder above it.
func (p *ignorePattern) covers(rel string) bool {
	if !p.dirOnly && p.match.MatchString(rel) {
		return true
	}
	for i, r := range rel {
		if r == '/' && !p.flat && p.match.MatchString(rel[:i]) {
			return true
		}
	}
	return false
}

// skips reports whether everything below the folder rel is left out.
func (l ignoreList) skips(rel string) bool {
	if slices.ContainsFunc(l, func(p ignorePattern) bool { return p.negate }) {
		return false
	}
	return slices.ContainsFunc(l, func(p ignorePattern) bool { return !p.flat && p.match.MatchString(rel) })
}
