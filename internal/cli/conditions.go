package cli

import (
	"fmt"
	"strconv"
	"strings"
)

// condition is one of --fail-on.
type condition struct {
	text  string
	error bool
	below float64 // when not error
}

// parseConditions reads comma lists of `error` and `reward<X`.
func parseConditions(args []string) ([]condition, error) {
	var out []condition
	for _, arg := range args {
		for c := range strings.SplitSeq(arg, ",") {
			c = strings.ReplaceAll(c, " ", "")
			if c == "error" {
				out = append(out, condition{text: c, error: true})
				continue
			}
			number, ok := strings.CutPrefix(c, "reward<")
			x, err := strconv.ParseFloat(number, 64)
			if !ok || err != nil {
				return nil, usagef("--fail-on %q: want error or reward<X, such as reward<0.8", c)
			}
			out = append(out, condition{text: c, below: x})
		}
	}
	return out, nil
}

// failed says why a condition is true of a finished run; empty if it is not.
func (c condition) failed(s summary) string {
	if c.error {
		if n := s.failed + s.cancelled; n > 0 {
			return fmt.Sprintf("%s: %s did not run to the end", c.text, plural(n, "trial"))
		}
		return ""
	}
	switch {
	case s.rewarded == 0:
		return c.text + ": no trial has a reward"
	case s.mean() < c.below:
		return fmt.Sprintf("%s: the mean reward is %s", c.text, formatReward(s.mean()))
	}
	return ""
}

// conditionError is the outcome of a run for which conditions are true; nil if none is.
func conditionError(conditions []condition, s summary) error {
	var why []string
	for _, c := range conditions {
		if w := c.failed(s); w != "" {
			why = append(why, w)
		}
	}
	if len(why) == 0 {
		return nil
	}
	return &cliError{code: exitCondition, kind: "condition", msg: "--fail-on " + strings.Join(why, "; ")}
}
