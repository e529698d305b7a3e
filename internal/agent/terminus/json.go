package terminus

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// jsonParser understands answers that are one JSON object.
type jsonParser struct{}

func (jsonParser) form() string { return "JSON" }

// salvage finds nothing: an object without its end may end in the midst of a command.
func (jsonParser) salvage(string) (string, bool) { return "", false }

// parse mends what models often get wrong, and says so in a warning.
func (p jsonParser) parse(answer string) (Reply, error) {
	object, before, after, found := firstObject(answer)
	var first error
	if found {
		reply, err := p.read(object)
		if err == nil {
			reply.checkAround(before, after)
			return reply, nil
		}
		first = err
	} else {
		first = errors.New("no valid JSON object found")
	}
	for _, fix := range []struct {
		what string
		of   func(string) (string, bool)
	}{
		{"closing braces that were missing were added", closed},
		{"the JSON object was taken out of the text around it", extracted},
	} {
		mended, can := fix.of(answer)
		if !can {
			continue
		}
		if reply, err := p.read(mended); err == nil {
			reply.Warnings = append([]string{"AUTO-CORRECTED: " + fix.what + "; please answer with proper JSON"}, reply.Warnings...)
			return reply, nil
		}
	}
	return Reply{}, first
}

// firstObject finds the first balanced object; braces in strings do not count.
func firstObject(s string) (object, before, after string, found bool) {
	start := strings.IndexByte(s, '{')
	if start < 0 {
		return "", "", "", false
	}
	depth, inString, escaped := 0, false, false
	for i := start; i < len(s); i++ {
		c := s[i]
		switch {
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		case inString:
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				return s[start : i+1], s[:start], s[i+1:], true
			}
		}
	}
	return "", "", "", false
}

// closed adds the ends that an object at the end of the text lacks.
func closed(s string) (string, bool) {
	start := strings.IndexByte(s, '{')
	if start < 0 {
		return "", false
	}
	var open []byte
	inString, escaped := false, false
	for i := start; i < len(s); i++ {
		c := s[i]
		switch {
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		case inString:
		case c == '{':
			open = append(open, '}')
		case c == '[':
			open = append(open, ']')
		case (c == '}' || c == ']') && len(open) > 0:
			open = open[:len(open)-1]
		}
	}
	if inString || len(open) == 0 { // in the midst of a string nobody knows how it goes on
		return "", false
	}
	slices.Reverse(open)
	return strings.TrimRight(s[start:], " \t\r\n`") + string(open), true
}

// extracted looks, from every opening brace on, for an object with the fields of a reply.
func extracted(s string) (string, bool) {
	for rest := s; ; {
		object, _, after, found := firstObject(rest)
		if !found {
			at := strings.IndexByte(rest, '{')
			if at < 0 {
				return "", false
			}
			rest = rest[at+1:]
			continue
		}
		if json.Valid([]byte(object)) && strings.Contains(object, `"commands"`) {
			return object, true
		}
		at := strings.IndexByte(rest, '{')
		if inner := rest[at+1:]; strings.Contains(inner, "{") && !json.Valid([]byte(object)) {
			rest = inner
		} else {
			rest = after
		}
	}
}

// read reads the object.
func (p jsonParser) read(object string) (Reply, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &fields); err != nil {
		return Reply{}, fmt.Errorf("invalid JSON: %w", err)
	}
	var r Reply
	if raw, has := fields["task_complete"]; has {
		var v any
		if err := json.Unmarshal(raw, &v); err == nil {
			r.Complete = truth(v)
		}
	}
	var missing []string
	for _, name := range []string{"analysis", "plan", "commands"} {
		if _, has := fields[name]; !has {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return Reply{}, fmt.Errorf("missing required fields: %s", strings.Join(missing, ", "))
	}
	r.Analysis, r.Plan = r.textOf(fields, "analysis"), r.textOf(fields, "plan")
	if err := r.readCommands(fields["commands"]); err != nil {
		if !r.Complete {
			return Reply{}, err
		}
		r.Commands = nil
		r.warn("%v; nothing was typed, since the task is said to be complete", err)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains([]string{"analysis", "plan", "commands", "task_complete"}, name) {
			r.warn("unknown field %q was ignored", name)
		}
	}
	r.checkOrder(object)
	r.checkNewlines()
	return r, nil
}

func (r *Reply) textOf(fields map[string]json.RawMessage, name string) string {
	var text string
	if err := json.Unmarshal(fields[name], &text); err != nil {
		r.warn("field %q should be a string", name)
		return string(fields[name])
	}
	return text
}

func (r *Reply) readCommands(raw json.RawMessage) error {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return errors.New("field \"commands\" must be an array")
	}
	for i, item := range list {
		var fields map[string]any
		if err := json.Unmarshal(item, &fields); err != nil {
			return fmt.Errorf("command %d must be an object", i+1)
		}
		keys, is := fields["keystrokes"].(string)
		if !is {
			return fmt.Errorf("command %d lacks the string \"keystrokes\"", i+1)
		}
		c := Command{Keys: keys, Duration: defaultDuration}
		given, has := fields["duration"]
		if d, good := seconds(given); good {
			c.Duration = d
		} else if has {
			r.warn("command %d: the duration is no number of seconds, 1.0 was taken", i+1)
		} else {
			r.warn("command %d has no duration, 1.0 was taken", i+1)
		}
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if name != "keystrokes" && name != "duration" {
				r.warn("command %d: unknown field %q was ignored", i+1, name)
			}
		}
		r.Commands = append(r.Commands, c)
	}
	return nil
}

// checkOrder warns of fields in another order than the one that was asked for, in which models think before they act.
func (r *Reply) checkOrder(object string) {
	d := json.NewDecoder(strings.NewReader(object))
	if _, err := d.Token(); err != nil {
		return
	}
	var order []string
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return
		}
		var skipped json.RawMessage
		if err := d.Decode(&skipped); err != nil {
			return
		}
		if name, is := key.(string); is && (name == "analysis" || name == "plan" || name == "commands") {
			order = append(order, name)
		}
	}
	if !slices.Equal(order, []string{"analysis", "plan", "commands"}) {
		r.warn("the fields should come in the order analysis, plan, commands")
	}
}

// checkAround warns of text around the object.
func (r *Reply) checkAround(before, after string) {
	if strings.TrimSpace(before) != "" {
		r.warn("extra text before the JSON object was ignored")
	}
	if strings.TrimSpace(after) != "" {
		r.warn("extra text after the JSON object was ignored")
	}
}
