package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
)

// canonForm is the number of the canonical form: another one is given whenever it changes, so that the digests in former recordings are made anew.
const canonForm = 1

// volatileFields of a request differ from one run to the next and do not say what is asked.
func volatileFields() map[string]bool {
	return map[string]bool{
		"metadata": true, "client_metadata": true, "user": true, "safety_identifier": true, "session_id": true,
		"conversation_id": true, "prompt_cache_key": true, "stream_options": true, "labels": true,
	}
}

// volatileAnywhere are dropped at any depth.
func volatileAnywhere() map[string]bool {
	return map[string]bool{"cache_control": true, "encrypted_content": true}
}

// volatileTexts are the parts of texts that differ from one run to the next: what agents tell their model of time, place and process.
type volatileText struct {
	pattern *regexp.Regexp
	instead string
}

func volatileTexts() []volatileText {
	return []volatileText{
		{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "<uuid>"},
		{regexp.MustCompile(`\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?`), "<time>"},
		{regexp.MustCompile(`(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day,? (?:\d{1,2} )?[A-Z][a-z]+ \d{1,2}(?:, \d{4})?|[A-Z][a-z]+ \d{1,2}, \d{4}`), "<time>"},
		{regexp.MustCompile(`\b(?:[A-Z][a-z]{2} )?[A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}(?::\d{2})?(?: [A-Z]{3,4})?(?: \d{4})?\b`), "<time>"}, // ls, date
		{regexp.MustCompile(`\b(?:\d+m)?\d+\.\d+ ?(?:s|ms|sec|seconds)\b`), "<time>"},                                                    // of test runners
		{regexp.MustCompile(`\bodt_\w+`), "<token>"},                                                                                     // of the trial
		{regexp.MustCompile(`Wall time: [\d.]+ seconds`), "Wall time: <time>"},                                                           // codex
		{regexp.MustCompile(`Chunk ID: \w+`), "Chunk ID: <id>"},                                                                          // codex
		{regexp.MustCompile(`/tmp/[\w.@-]+`), "/tmp/<name>"},
		{regexp.MustCompile(`(^|\D)1[6-9]\d{11}(\D|$)`), "${1}<time>${2}"}, // milliseconds, in the ids of gemini-cli
		{regexp.MustCompile(`cch=\w+`), "cch=<hash>"},                      // claude-code
		{regexp.MustCompile(`(?i)\b(p[gps]?ids?[:= ]+)\d+(?:, ?\d+)*`), "${1}<n>"},
	}
}

// canon brings requests into a form in which those that ask the same are equal.
type canon struct {
	fields, anywhere map[string]bool
	texts            []volatileText
}

func newCanon() canon { return canon{volatileFields(), volatileAnywhere(), volatileTexts()} }

// request gives the canonical form of a request as a tree, and its digest. Tools that run at the provider are left out, since it is the trial and not
// the agent that decides about them.
func (c canon) request(r route, body []byte) (any, string, error) {
	if r.kind == callRoute {
		if without, err := withoutProviderTools(r.dialect, body); err == nil {
			body = without
		}
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var tree any
	if len(bytes.TrimSpace(body)) > 0 {
		if err := dec.Decode(&tree); err != nil {
			return nil, "", fmt.Errorf("the request's body is not JSON: %w", err)
		}
	}
	if fields, is := tree.(map[string]any); is {
		maps.DeleteFunc(fields, func(name string, _ any) bool { return c.fields[name] })
	}
	tree = map[string]any{"path": r.rest, "body": c.clean(tree)}
	sorted, err := json.Marshal(tree) // writes the keys of a map in order
	if err != nil {
		return nil, "", err
	}
	digest := sha256.Sum256(sorted)
	return tree, hex.EncodeToString(digest[:]), nil
}

func (c canon) clean(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if c.anywhere[key] {
				delete(v, key)
			} else {
				v[key] = c.clean(value)
			}
		}
	case []any:
		for i, value := range v {
			v[i] = c.clean(value)
		}
	case string:
		for _, t := range c.texts {
			v = t.pattern.ReplaceAllString(v, t.instead)
		}
		return v
	}
	return v
}
