package predicate

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// valueReader turns what was written into values: into several where a word stands for a set. Its error says what is wanted.
type valueReader func(t token) ([]Value, error)

// reader gives that of a field; nil for an unknown one.
func reader(f Field) valueReader {
	switch f {
	case Experiment, Task, Trial, Message, Agent, Model, Key, Env, Worker, User:
		return readText
	case Error:
		return orPresence(readText)
	case Class:
		return orPresence(oneOf("class", classes()))
	case Status:
		return readStatus
	case Reward:
		return orPresence(readNumber)
	case Attempts, Version:
		return readCount
	case Created:
		return readTime
	case Finished:
		return orPresence(readTime)
	case Tag:
		return readTag
	}
	return nil
}

func readText(t token) ([]Value, error) {
	return []Value{{Pattern: newPattern(t.text, t.quoted)}}, nil
}

// orPresence reads none and any for a field that a trial may lack.
func orPresence(read valueReader) valueReader {
	return func(t token) ([]Value, error) {
		switch strings.ToLower(t.text) {
		case "none":
			return []Value{{Presence: None}}, nil
		case "any":
			return []Value{{Presence: Some}}, nil
		}
		return read(t)
	}
}

// The words of trials; package api has the same.
func classes() []string  { return []string{"result", "permanent", "rate_limit", "infrastructure"} }
func statuses() []string { return append(active(), ended()...) }
func active() []string   { return []string{"queued", "running", "retrying"} }
func ended() []string    { return []string{"success", "failed", "cancelled"} }

func oneOf(what string, known []string) valueReader {
	return func(t token) ([]Value, error) {
		word := strings.ToLower(t.text)
		if !slices.Contains(known, word) {
			return nil, errors.New(unknown(what, t.text, known))
		}
		return []Value{{Pattern: Pattern{Text: word}}}, nil
	}
}

// readStatus knows sets of states, too.
func readStatus(t token) ([]Value, error) {
	switch strings.ToLower(t.text) {
	case "active":
		return Is(Status, active()...).Values, nil
	case "ended":
		return Is(Status, ended()...).Values, nil
	}
	values, err := oneOf("status", append(statuses(), "active", "ended"))(t)
	return values, err
}

// cutOp takes the comparison off that a value begins with; without one it is Equal.
func cutOp(text string) (op Op, rest string, found bool) {
	for _, op := range []Op{AtMost, AtLeast, Less, More, Equal} { // the longer ones first
		if rest, ok := strings.CutPrefix(text, string(op)); ok {
			return op, strings.TrimSpace(rest), true
		}
	}
	return Equal, text, false
}

func readNumber(t token) ([]Value, error) {
	op, rest, _ := cutOp(t.text)
	n, err := strconv.ParseFloat(rest, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return nil, errors.New("want a number, such as 1, <0.5 or >=1, or none or any")
	}
	return []Value{{Op: op, Number: n}}, nil
}

func readCount(t token) ([]Value, error) {
	op, rest, _ := cutOp(t.text)
	n, err := strconv.Atoi(rest)
	if err != nil || n < 0 || n > math.MaxInt32 {
		return nil, errors.New("want a whole number, such as 1, >1 or <=3")
	}
	return []Value{{Op: op, Number: float64(n)}}, nil
}

// readTag reads KEY=VALUE, or KEY for whatever value.
func readTag(t token) ([]Value, error) {
	key, value, found := strings.Cut(t.text, "=")
	if key == "" || found && value == "" {
		return nil, fmt.Errorf("want KEY=VALUE, or KEY alone for any value")
	}
	v := Value{Key: key, Presence: Some}
	if found {
		v.Presence, v.Pattern = Given, newPattern(value, t.quoted)
	}
	return []Value{v}, nil
}
