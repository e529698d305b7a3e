package jobdir

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// normal brings the result.json of a trial, as any version of Harbor has written it, into the form in which package result reads it: times
// without a zone, which are taken for this machine's local ones; a reward by itself; environments as lists; artifacts
// as paths; tasks of packages; numbers of tokens with a point.
func normal(doc map[string]any) {
	normalPart(doc)
	if id, ok := doc["task_id"].(map[string]any); ok && id["path"] == nil {
		id["path"] = joined(id["org"], id["name"])
	}
	steps, _ := doc["step_results"].([]any)
	for _, s := range steps {
		if step, ok := s.(map[string]any); ok {
			normalPart(step)
		}
	}
	if config, ok := doc["config"].(map[string]any); ok {
		normalConfig(config)
	}
}

// joined gives "org/name", or what of it there is.
func joined(parts ...any) string {
	var texts []string
	for _, p := range parts {
		if text, _ := p.(string); text != "" {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, "/")
}

// normalPart is for what trials and steps have in common.
func normalPart(doc map[string]any) {
	for _, name := range []string{"started_at", "finished_at"} {
		normalTime(doc, name)
	}
	for _, name := range []string{"environment_setup", "agent_setup", "agent_execution", "verifier"} {
		if timing, ok := doc[name].(map[string]any); ok {
			normalTime(timing, "started_at")
			normalTime(timing, "finished_at")
		}
	}
	if e, ok := doc["exception_info"].(map[string]any); ok {
		normalTime(e, "occurred_at")
		if e["occurred_at"] == nil {
			delete(e, "occurred_at") // null is no time
		}
	}
	if v, ok := doc["verifier_result"].(map[string]any); ok {
		normalRewards(v)
	}
	if a, ok := doc["agent_result"].(map[string]any); ok {
		for _, name := range []string{"n_input_tokens", "n_cache_tokens", "n_output_tokens"} {
			normalCount(a, name)
		}
	}
}

// normalTime makes a time RFC 3339, and null what is none.
func normalTime(doc map[string]any, name string) {
	text, ok := doc[name].(string)
	if !ok {
		doc[name] = nil
		return
	}
	if _, err := time.Parse(time.RFC3339, text); err == nil {
		return
	}
	text = strings.Replace(text, " ", "T", 1)
	t, err := time.ParseInLocation("2006-01-02T15:04:05.999999999", text, time.Local)
	if err != nil {
		doc[name] = nil
		return
	}
	doc[name] = t.UTC().Format(time.RFC3339Nano)
}

// normalRewards leaves numbers only: what is unknown is no reward.
func normalRewards(v map[string]any) {
	rewards, _ := v["rewards"].(map[string]any)
	if one, has := v["reward"]; rewards == nil && has {
		rewards = map[string]any{"reward": one}
	}
	for name, value := range rewards {
		switch value := value.(type) {
		case json.Number:
		case bool:
			rewards[name] = map[bool]json.Number{true: "1", false: "0"}[value]
		default:
			delete(rewards, name)
		}
	}
	v["rewards"] = nil
	if len(rewards) > 0 {
		v["rewards"] = rewards
	}
}

// normalCount makes 12.0 a whole number, and null what is none.
func normalCount(doc map[string]any, name string) {
	n, ok := doc[name].(json.Number)
	if !ok {
		doc[name] = nil
		return
	}
	if _, err := n.Int64(); err == nil {
		return
	}
	doc[name] = nil
	if f, err := n.Float64(); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		doc[name] = json.Number(strconv.FormatInt(int64(f), 10))
	}
}

// normalConfig is for the configuration of a trial.
func normalConfig(config map[string]any) {
	if task, ok := config["task"].(map[string]any); ok && task["path"] == nil {
		task["path"] = joined(task["name"])
	}
	for _, name := range []string{"agent", "environment", "verifier"} {
		part, _ := config[name].(map[string]any)
		if list, ok := part["env"].([]any); ok {
			part["env"] = pairs(list)
		}
	}
	if env, ok := config["environment"].(map[string]any); ok {
		kwargs, _ := env["kwargs"].(map[string]any)
		for name, value := range kwargs {
			if _, text := value.(string); !text {
				kwargs[name] = fmt.Sprint(value)
			}
		}
	}
	artifacts, _ := config["artifacts"].([]any)
	for i, a := range artifacts {
		if path, ok := a.(string); ok {
			artifacts[i] = map[string]any{"source": path}
		}
	}
}

// pairs makes a map of a list of KEY=VALUE.
func pairs(list []any) map[string]any {
	env := map[string]any{}
	for _, item := range list {
		if text, ok := item.(string); ok {
			key, value, _ := strings.Cut(text, "=")
			env[key] = value
		}
	}
	return env
}
