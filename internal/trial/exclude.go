package trial

import (
	"regexp"
	"strings"
)

// excluder gives a function that tells the members that tar's --exclude patterns leave
// out: as in tar, a pattern may match at any element of the path, * and ? match slashes too, and
// a folder is left out with all below it. Nil without patterns.
func excluder(patterns []string) func(rel string) bool {
	var list []*regexp.Regexp
	for _, p := range patterns {
		p = strings.TrimSuffix(strings.TrimPrefix(p, "./"), "/")
		if p == "" {
			continue
		}
		start := `(^|/)`
		if rooted, ok := strings.CutPrefix(p, "/"); ok {
			start, p = `^`, rooted
		}
		re, err := regexp.Compile(`(?s)` + start + globToRegexp(p) + `(/|$)`)
		if err != nil { // a class that is no class: taken literally
			re = regexp.MustCompile(start + regexp.QuoteMeta(p) + `(/|$)`)
		}
		list = append(list, re)
	}
	if list == nil {
		return nil
	}
	return func(rel string) bool {
		for _, re := range list {
			if re.MatchString(rel) {
				return true
			}
		}
		return false
	}
}

// globToRegexp translates *, ?, [class] and \x.
func globToRegexp(glob string) string {
	var b strings.Builder
	for i := 0; i < len(glob); i++ {
		switch c := glob[i]; c {
		case '*':
			b.WriteString(`.*`)
		case '?':
			b.WriteString(`.`)
		case '[':
			end := strings.IndexByte(glob[i+1:], ']')
			if end <= 0 {
				b.WriteString(`\[`)
				continue
			}
			class := glob[i+1 : i+1+end]
			i += 1 + end
			if rest, not := strings.CutPrefix(class, "!"); not {
				class = "^" + rest
			}
			b.WriteString("[" + strings.ReplaceAll(class, `[`, `\[`) + "]")
		case '\\':
			if i+1 < len(glob) {
				i++
			}
			b.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		default:
			if c < 0x80 {
				b.WriteString(regexp.QuoteMeta(string(rune(c))))
			} else {
				b.WriteByte(c)
			}
		}
	}
	return b.String()
}
