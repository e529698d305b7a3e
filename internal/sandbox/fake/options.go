package fake

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"oddish/internal/sandbox"
)

// Options lists the keys of Spec.Options, which are those of [environment.oddish.fake] in a task
// and of --ek on the command line, with what they mean. Durations are Go's ("1.5s") or seconds ("1.5").
func Options() map[string]string {
	return map[string]string{
		"start_duration":       "time that the start takes; default 0",
		"duration":             "time that the agent's process takes; default 0",
		"verify_duration":      "time that the verifier's process takes; default 0",
		"reward":               "what the verifier leaves: a number, several separated by commas (chosen by the number at the end of the trial's id), a JSON object for reward.json, none, empty, or any other text; default 1 if an agent's process ended with status 0, else 0",
		"output_bytes":         "size of the agent's output; default 0",
		"start_error":          "the start fails: build, unsupported, lost, or any other text as the message",
		"healthcheck_failures": "how many healthchecks fail before one succeeds; default 0",
		"agent_exit":           "exit status of the agent's process; default 0",
		"agent_hangs":          "true: the agent's process never ends by itself",
		"verify_exit":          "exit status of the verifier's process; default 0",
		"verify_hangs":         "true: the verifier's process never ends by itself",
		"oom":                  "agent or verifier: that process is killed for want of memory at its end",
		"lost_after":           "time after the start at which the sandbox is lost; default never",
		"fail_attempts":        "only this many first starts of a trial have the scripted failures (with none scripted, their start fails); default all",
	}
}

type options struct {
	startDuration, duration, verifyDuration, lostAfter time.Duration
	reward                                             string
	hasReward                                          bool
	outputBytes                                        int
	startError, oom                                    string
	healthcheckFailures, failAttempts                  int
	agentExit, verifyExit                              int
	agentHangs, verifyHangs                            bool
}

// fails reports whether a failure is scripted.
func (o options) fails() bool {
	return o.startError != "" || o.oom != "" || o.lostAfter > 0 || o.healthcheckFailures > 0 ||
		o.agentExit != 0 || o.verifyExit != 0 || o.agentHangs || o.verifyHangs
}

func (o options) withoutFailures() options {
	return options{
		startDuration: o.startDuration, duration: o.duration, verifyDuration: o.verifyDuration,
		reward: o.reward, hasReward: o.hasReward, outputBytes: o.outputBytes,
	}
}

// parse reads the options. Errors wrap sandbox.ErrUnsupported.
func parse(given map[string]string) (options, error) {
	var o options
	for _, key := range slices.Sorted(maps.Keys(given)) {
		if err := o.set(key, given[key]); err != nil {
			return o, fmt.Errorf("%w: option %s of the fake sandbox: %w", sandbox.ErrUnsupported, key, err)
		}
	}
	return o, nil
}

func (o *options) set(key, value string) (err error) {
	switch key {
	case "start_duration":
		o.startDuration, err = duration(value)
	case "duration":
		o.duration, err = duration(value)
	case "verify_duration":
		o.verifyDuration, err = duration(value)
	case "lost_after":
		o.lostAfter, err = duration(value)
	case "reward":
		o.reward, o.hasReward = value, true
	case "start_error":
		o.startError = value
	case "oom":
		o.oom, err = oneOf(value, "agent", "verifier")
	case "output_bytes":
		o.outputBytes, err = count(value)
	case "healthcheck_failures":
		o.healthcheckFailures, err = count(value)
	case "fail_attempts":
		o.failAttempts, err = count(value)
	case "agent_exit":
		o.agentExit, err = count(value)
	case "verify_exit":
		o.verifyExit, err = count(value)
	case "agent_hangs":
		o.agentHangs, err = strconv.ParseBool(value)
	case "verify_hangs":
		o.verifyHangs, err = strconv.ParseBool(value)
	default:
		known := slices.Sorted(maps.Keys(Options()))
		err = fmt.Errorf("it has no such option; known are %s", strings.Join(known, ", "))
	}
	return err
}

func oneOf(value string, allowed ...string) (string, error) {
	if !slices.Contains(allowed, value) {
		return "", fmt.Errorf("%q, want %s", value, strings.Join(allowed, " or "))
	}
	return value, nil
}

func count(value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a whole number", value)
	}
	return n, nil
}

func duration(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil {
		d, err = time.ParseDuration(value + "s")
	}
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration such as 1.5s", value)
	}
	return d, nil
}
