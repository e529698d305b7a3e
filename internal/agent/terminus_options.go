package agent

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"oddish/internal/agent/terminus"
)

// terminusOptions are the checked kwargs.
type terminusOptions struct {
	loop          terminus.Options
	width, height int
	record        bool
	responses     bool
	effort        string
	thinking      int64
	temperature   *float64
	maxOutput     int64
	contextTokens int64
	body          map[string]any
	template      settings
}

func (o *terminusOptions) prompt(instruction string) string { return o.template.prompt(instruction) }

// extra is what the trajectory tells of the options.
func (o *terminusOptions) extra() map[string]any {
	parser := "json"
	if o.loop.XML {
		parser = "xml"
	}
	extra := map[string]any{"parser": parser}
	if o.temperature != nil {
		extra["temperature"] = *o.temperature
	}
	if len(o.body) > 0 {
		extra["llm_kwargs"] = maps.Clone(o.body)
	}
	return extra
}

// terminusKwargs are Harbor's options of this agent. Those that can have only one value here are known all the same.
func terminusKwargs() []Option {
	return []Option{
		{Name: "max_turns", Help: "most answers of the model (also max_episodes, episodes)"},
		{Name: "max_episodes"}, {Name: "episodes"},
		{Name: "parser_name", Values: []string{"json", "xml"}, Default: "json", Help: "form of the model's answers"},
		{Name: "temperature", Help: "of the model; its own if it is not set"},
		{Name: "reasoning_effort", Values: []string{"none", "minimal", "low", "medium", "high", "xhigh", "max", "default"}, Help: "how much the model thinks"},
		{Name: "max_thinking_tokens", Help: "the same in tokens, at least 1024"},
		{Name: "enable_summarize", Switch: true, Default: "true", Help: "summaries when the conversation gets too long"},
		{Name: "proactive_summarization_threshold", Help: "tokens left when a summary is made, 8000"},
		{Name: "model_info", Form: formJSON, Help: "max_input_tokens and max_output_tokens of a model that is not in the table"},
		{Name: "trajectory_config", Form: formJSON, Help: "raw_content: true keeps answers as they came"},
		{Name: "tmux_pane_width", Default: "160", Help: "columns of the terminal"},
		{Name: "tmux_pane_height", Default: "40", Help: "its rows"},
		{Name: "record_terminal_session", Switch: true, Default: "true", Help: "recording.cast, if the image has asciinema"},
		{Name: "interleaved_thinking", Switch: true, Default: "false", Help: "gives the model its thoughts back"},
		{Name: "use_responses_api", Switch: true, Default: "false", Help: "OpenAI's Responses instead of Chat Completions"},
		{Name: "session_id", Help: "id of the session, sent as X-Session-ID"},
		{Name: "llm_kwargs", Form: formJSON, Help: "further fields of each request"},
		{Name: "llm_call_kwargs", Form: formJSON, Help: "the same"},
		{Name: "collect_rollout_details", Values: []string{"false"}}, {Name: "store_all_messages", Values: []string{"false"}},
		{Name: "llm_backend", Values: []string{"litellm"}},
		{Name: optionTemplate, Help: "text with {{ instruction }} in it, which it is told"},
		{Name: optionTemplatePath, Help: "file with such a text, read by `oddish run`"},
	}
}

// readTerminusOptions checks the kwargs.
func readTerminusOptions(kwargs map[string]any) (terminusOptions, error) {
	var o terminusOptions
	if kwargs["api_base"] != nil {
		return o, fmt.Errorf("agent %s: its model is reached through the gateway: give the address as --base-url instead of api_base", terminusName)
	}
	values, err := optionValues(terminusName, terminusKwargs(), kwargs)
	if err != nil {
		return o, err
	}
	r := optionReader{agent: terminusName, values: values}
	o.loop = terminus.Options{
		MaxTurns: int(r.whole("max_turns", 1)), XML: values["parser_name"] == "xml", NoSummary: values["enable_summarize"] == "false",
		Reserve: r.whole("proactive_summarization_threshold", 1), Interleave: values["interleaved_thinking"] == "true", SessionID: values["session_id"],
	}
	o.loop.MaxTurns = cmp.Or(o.loop.MaxTurns, int(r.whole("max_episodes", 1)), int(r.whole("episodes", 1)))
	o.width, o.height = int(r.whole("tmux_pane_width", 20)), int(r.whole("tmux_pane_height", 5))
	o.record, o.responses, o.effort = values["record_terminal_session"] == "true", values["use_responses_api"] == "true", values["reasoning_effort"]
	o.thinking, o.temperature = r.whole("max_thinking_tokens", 1024), r.number("temperature")
	info := r.object("model_info", "max_input_tokens", "max_output_tokens")
	o.contextTokens, o.maxOutput = r.count(info, "max_input_tokens"), r.count(info, "max_output_tokens")
	trajectory := r.object("trajectory_config", "raw_content", "linear_history")
	o.loop.Raw = trajectory["raw_content"] == true
	if trajectory["linear_history"] == true {
		r.fail("trajectory_config: linear_history is not there: a cut conversation is one trajectory with a step that says so")
	}
	o.body = r.object("llm_kwargs")
	maps.Copy(o.body, r.object("llm_call_kwargs"))
	for _, taken := range []string{"model", "messages", "input", "contents", "stream"} {
		if _, has := o.body[taken]; has {
			r.fail("llm_kwargs: %s is the agent's own", taken)
		}
	}
	if r.err == nil {
		r.err = o.template.takeTemplate(terminusName, kwargs)
	}
	return o, r.err
}

// optionReader reads options that are not text; the first that is wrong stays.
type optionReader struct {
	agent  string
	values map[string]string
	err    error
}

func (r *optionReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("agent %s: option "+format, append([]any{r.agent}, args...)...)
	}
}

// whole reads a whole number; 0 if it is not set.
func (r *optionReader) whole(name string, least int64) int64 {
	v := r.values[name]
	if v == "" {
		return 0
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < least {
		r.fail("%s is a whole number of at least %d, not %q", name, least, v)
	}
	return n
}

func (r *optionReader) number(name string) *float64 {
	v := r.values[name]
	if v == "" {
		return nil
	}
	n, err := strconv.ParseFloat(v, 64)
	if err != nil {
		r.fail("%s is a number, not %q", name, v)
	}
	return &n
}

// object reads an object in JSON, never nil; without known keys it may have any.
func (r *optionReader) object(name string, known ...string) map[string]any {
	out := map[string]any{}
	v := r.values[name]
	if v == "" {
		return out
	}
	if err := json.Unmarshal([]byte(v), &out); err != nil || out == nil {
		r.fail("%s is no object in JSON", name)
		return map[string]any{}
	}
	for _, key := range slices.Sorted(maps.Keys(out)) {
		if len(known) > 0 && !slices.Contains(known, key) {
			r.fail("%s has no %s here: known are %s (prices are set by ODDISH_PRICES_FILE)", name, key, strings.Join(known, ", "))
		}
	}
	return out
}

func (r *optionReader) count(object map[string]any, key string) int64 {
	v, has := object[key]
	if !has {
		return 0
	}
	n, is := v.(float64)
	if !is || n < 1 {
		r.fail("%s is a number of tokens", key)
		return 0
	}
	return int64(n)
}
