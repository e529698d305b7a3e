package terminus

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// defaultDuration is how long a command is waited for that does not say.
const defaultDuration = time.Second

// parser understands answers in one of the two forms.
type parser interface {
	// parse gives the reply, or an error that is told to the model.
	parse(answer string) (Reply, error)
	// salvage gives the part of an answer that was cut off from which a reply can be made.
	salvage(answer string) (string, bool)
	// form names the form in messages to the model.
	form() string
	// prompt is the first message up to the task.
	prompt() string
}

func newParser(xml bool) parser {
	if xml {
		return xmlParser{}
	}
	return jsonParser{}
}

// seconds understands a duration as models write it.
func seconds(v any) (time.Duration, bool) {
	var s float64
	switch v := v.(type) {
	case float64:
		s = v
	case string:
		var err error
		if s, err = strconv.ParseFloat(strings.TrimSpace(v), 64); err != nil {
			return 0, false
		}
	default:
		return 0, false
	}
	if math.IsNaN(s) || s < 0 {
		return 0, false
	}
	return time.Duration(min(s, maxDuration.Seconds()) * float64(time.Second)), true
}

// truth understands whether the task is said to be done.
func truth(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case float64:
		return v == 1
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "true", "1", "yes":
			return true
		}
	}
	return false
}

// checkNewlines warns of commands that run into the next.
func (r *Reply) checkNewlines() {
	for i, c := range r.Commands {
		if i+1 < len(r.Commands) && c.Keys != "" && !strings.HasSuffix(c.Keys, "\n") && !isKeyName(c.Keys) {
			r.warn("command %d does not end with a newline, so that command %d is typed on the same line", i+1, i+2)
		}
	}
}

func (r *Reply) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// isKeyName tells control keys, which end no line.
func isKeyName(keys string) bool {
	return len(keys) == 3 && (strings.HasPrefix(keys, "C-") || strings.HasPrefix(keys, "M-")) || keys == "Enter" || keys == "Escape" || keys == "Tab"
}
