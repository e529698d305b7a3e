package fakellm

func (a answer) chatUsage() any {
	if a.told == nil {
		return nil
	}
	u := a.told
	return object{
		"prompt_tokens": u.Input, "completion_tokens": u.Output, "total_tokens": u.Input + u.Output,
		"prompt_tokens_details":     object{"cached_tokens": u.CacheRead, "audio_tokens": 0},
		"completion_tokens_details": object{"reasoning_tokens": u.Reasoning, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0},
	}
}

func (a answer) chatFinish() string {
	switch {
	case a.Refuse:
		return "content_filter"
	case a.tool != nil:
		return "tool_calls"
	}
	return "stop"
}

func (a answer) chatEnvelope(kind string, choices []any) object {
	return object{
		"id": a.id("chatcmpl-"), "object": kind, "created": created, "model": a.q.model, "system_fingerprint": "fp_fake", "choices": choices,
	}
}

// created is the time that answers carry; a fixed one keeps recordings equal.
const created = 1790000000

func (a answer) chatBody() object {
	message := object{"role": "assistant", "content": nil, "refusal": nil}
	if a.Text != "" {
		message["content"] = a.Text
	}
	if a.Reasoning != "" {
		message["reasoning_content"] = a.Reasoning
	}
	if a.tool != nil {
		message["tool_calls"] = []any{object{
			"id": a.id("call_"), "type": "function", "function": object{"name": a.tool.name, "arguments": a.argsJSON()},
		}}
	}
	body := a.chatEnvelope("chat.completion", []any{object{"index": 0, "message": message, "logprobs": nil, "finish_reason": a.chatFinish()}})
	if usage := a.chatUsage(); usage != nil {
		body["usage"] = usage
	}
	return body
}

func (a answer) chatEvents() []event {
	var events []event
	chunk := func(delta object, finish any) {
		e := a.chatEnvelope("chat.completion.chunk", []any{object{"index": 0, "delta": delta, "logprobs": nil, "finish_reason": finish}})
		if a.q.usage {
			e["usage"] = nil
		}
		events = append(events, event{data: e})
	}
	chunk(object{"role": "assistant", "content": "", "refusal": nil}, nil)
	for _, piece := range pieces(a.Reasoning) {
		chunk(object{"reasoning_content": piece}, nil)
	}
	for _, piece := range pieces(a.Text) {
		chunk(object{"content": piece}, nil)
	}
	if a.tool != nil {
		chunk(object{"tool_calls": []any{object{"index": 0, "id": a.id("call_"), "type": "function", "function": object{"name": a.tool.name, "arguments": ""}}}}, nil)
		for _, piece := range pieces(a.argsJSON()) {
			chunk(object{"tool_calls": []any{object{"index": 0, "function": object{"arguments": piece}}}}, nil)
		}
	}
	chunk(object{}, a.chatFinish())
	if a.q.usage && a.told != nil {
		last := a.chatEnvelope("chat.completion.chunk", []any{})
		last["usage"] = a.chatUsage()
		events = append(events, event{data: last})
	}
	return append(events, event{data: "[DONE]"})
}
