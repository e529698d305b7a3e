package terminus

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// xmlParser understands answers in elements. They are no real XML: keystrokes are taken as they stand, with < and & in them.
type xmlParser struct{}

func (xmlParser) form() string { return "XML" }

// salvage gives an answer up to the end of its response, if its commands are whole.
func (xmlParser) salvage(answer string) (string, bool) {
	const end = "</response>"
	i := strings.Index(answer, end)
	if i < 0 || !strings.Contains(answer[:i], "</commands>") {
		return "", false
	}
	return answer[:i+len(end)], true
}

func (p xmlParser) parse(answer string) (Reply, error) {
	var r Reply
	body, err := r.response(answer)
	if err != nil {
		return Reply{}, err
	}
	done, has := element(body, "task_complete")
	r.Complete = has && truth(done)
	var ok bool
	if r.Analysis, ok = element(body, "analysis"); !ok {
		r.warn("section <analysis> is missing")
	}
	if r.Plan, ok = element(body, "plan"); !ok {
		r.warn("section <plan> is missing")
	}
	r.Analysis, r.Plan = strings.TrimSpace(r.Analysis), strings.TrimSpace(r.Plan)
	commands, has := element(body, "commands")
	if !has && !regexp.MustCompile(`<commands\s*/>`).MatchString(body) {
		if !r.Complete {
			return Reply{}, errors.New("missing <commands> section")
		}
		return r, nil
	}
	if err := r.keystrokes(commands); err != nil {
		if !r.Complete {
			return Reply{}, err
		}
		r.Commands = nil
		r.warn("%v; nothing was typed, since the task is said to be complete", err)
	}
	r.checkTags(body)
	r.checkNewlines()
	return r, nil
}

// response gives the inside of the first <response>.
func (r *Reply) response(answer string) (string, error) {
	before, rest, found := strings.Cut(answer, "<response>")
	if !found {
		return "", errors.New("no <response> tag found")
	}
	if strings.TrimSpace(before) != "" {
		r.warn("extra text before <response> was ignored")
	}
	body, after, ends := strings.Cut(rest, "</response>")
	switch {
	case !ends:
		r.warn("the closing tag </response> is missing")
	case strings.Contains(after, "<response>"):
		r.warn("only the first of several <response> blocks was used")
	case strings.TrimSpace(after) != "":
		r.warn("extra text after </response> was ignored")
	}
	return body, nil
}

// element gives the inside of the first element of that name.
func element(body, name string) (string, bool) {
	_, rest, found := strings.Cut(body, "<"+name+">")
	if !found {
		return "", false
	}
	inside, _, found := strings.Cut(rest, "</"+name+">")
	return inside, found
}

// keystrokes reads the commands.
func (r *Reply) keystrokes(commands string) error {
	opening := regexp.MustCompile(`<keystrokes([^>]*)>`)
	for rest, n := commands, 1; ; n++ {
		at := opening.FindStringSubmatchIndex(rest)
		if at == nil {
			if strings.TrimSpace(rest) != "" {
				r.warn("text between commands was ignored")
			}
			return nil
		}
		attributes := rest[at[2]:at[3]]
		if strings.HasSuffix(attributes, "/") { // an empty element: wait and look
			r.Commands = append(r.Commands, Command{Duration: r.duration(strings.TrimSuffix(attributes, "/"), n)})
			rest = rest[at[1]:]
			continue
		}
		keys, after, found := strings.Cut(rest[at[1]:], "</keystrokes>")
		if !found {
			return fmt.Errorf("command %d has no closing tag </keystrokes>", n)
		}
		r.checkKeys(keys, n)
		r.Commands = append(r.Commands, Command{Keys: keys, Duration: r.duration(attributes, n)})
		rest = after
	}
}

// duration reads the attributes of a command.
func (r *Reply) duration(attributes string, n int) time.Duration {
	if strings.TrimSpace(attributes) == "" {
		r.warn("command %d has no duration, 1.0 was taken", n)
		return defaultDuration
	}
	found := false
	d := defaultDuration
	for _, m := range regexp.MustCompile(`([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')`).FindAllStringSubmatch(attributes, -1) {
		switch {
		case m[1] != "duration":
			r.warn("command %d: unknown attribute %q was ignored", n, m[1])
		default:
			found = true
			if m[3] != "" {
				r.warn("command %d: the duration should be in double quotes", n)
			}
			if v, good := seconds(m[2] + m[3]); good {
				d = v
			} else {
				r.warn("command %d: the duration is no number of seconds, 1.0 was taken", n)
			}
		}
	}
	if !found {
		r.warn("command %d has no duration, 1.0 was taken", n)
	}
	return d
}

// checkKeys warns of what looks as if it was to be decoded.
func (r *Reply) checkKeys(keys string, n int) {
	if regexp.MustCompile(`&(lt|gt|amp|quot|apos|#\d+);`).MatchString(keys) {
		r.warn("command %d has entities such as &lt;, which are typed as they stand: write the characters themselves", n)
	}
	if strings.Contains(keys, `\r\n`) {
		r.warn(`command %d has a literal \r\n, which is typed as it stands: end lines with a newline`, n)
	}
}

// checkTags warns of sections that are not known.
func (r *Reply) checkTags(body string) {
	for _, name := range []string{"commands", "analysis", "plan"} { // whose insides are the model's own words
		if inside, has := element(body, name); has {
			body = strings.Replace(body, "<"+name+">"+inside+"</"+name+">", "", 1)
		}
	}
	seen := map[string]bool{"commands": true, "analysis": true, "plan": true, "task_complete": true}
	for _, m := range regexp.MustCompile(`<([A-Za-z_][\w-]*)[^>]*>`).FindAllStringSubmatch(body, -1) {
		if !seen[m[1]] {
			seen[m[1]] = true
			r.warn("unknown tag <%s> was ignored", m[1])
		}
	}
}
