package fakellm

func (a answer) anthropicUsage(output int64) object {
	if a.told == nil {
		return object{}
	}
	u := a.told
	return object{
		"input_tokens": u.Input - u.CacheRead - u.CacheWrite, "cache_read_input_tokens": u.CacheRead,
		"cache_creation_input_tokens": u.CacheWrite, "output_tokens": output, "service_tier": "standard",
		"cache_creation": object{"ephemeral_5m_input_tokens": u.CacheWrite, "ephemeral_1h_input_tokens": 0},
	}
}

func (a answer) anthropicStop() string {
	switch {
	case a.Refuse:
		return "refusal"
	case a.tool != nil:
		return "tool_use"
	}
	return "end_turn"
}

func (a answer) anthropicMessage(content []any, stop any, output int64) object {
	return object{
		"id": a.id("msg_"), "type": "message", "role": "assistant", "model": a.q.model, "content": content,
		"stop_reason": stop, "stop_sequence": nil, "usage": a.anthropicUsage(output),
	}
}

func (a answer) anthropicBody() object {
	content := []any{}
	if a.Reasoning != "" {
		content = append(content, object{"type": "thinking", "thinking": a.Reasoning, "signature": "c2ln"})
	}
	if a.Text != "" {
		content = append(content, object{"type": "text", "text": a.Text})
	}
	if a.tool != nil {
		content = append(content, object{"type": "tool_use", "id": a.id("toolu_"), "name": a.tool.name, "input": a.tool.args})
	}
	return a.anthropicMessage(content, a.anthropicStop(), a.Usage.Output)
}

func (a answer) anthropicEvents() []event {
	events := []event{{"message_start", object{"type": "message_start", "message": a.anthropicMessage([]any{}, nil, 1)}}}
	index := 0
	block := func(start object, deltas ...object) {
		events = append(events, event{"content_block_start", object{"type": "content_block_start", "index": index, "content_block": start}})
		if index == 0 {
			events = append(events, event{"ping", object{"type": "ping"}})
		}
		for _, d := range deltas {
			events = append(events, event{"content_block_delta", object{"type": "content_block_delta", "index": index, "delta": d}})
		}
		events = append(events, event{"content_block_stop", object{"type": "content_block_stop", "index": index}})
		index++
	}
	if a.Reasoning != "" {
		deltas := deltas(a.Reasoning, "thinking_delta", "thinking")
		block(object{"type": "thinking", "thinking": "", "signature": ""}, append(deltas, object{"type": "signature_delta", "signature": "c2ln"})...)
	}
	if a.Text != "" {
		block(object{"type": "text", "text": ""}, deltas(a.Text, "text_delta", "text")...)
	}
	if a.tool != nil {
		block(object{"type": "tool_use", "id": a.id("toolu_"), "name": a.tool.name, "input": object{}},
			append([]object{{"type": "input_json_delta", "partial_json": ""}}, deltas(a.argsJSON(), "input_json_delta", "partial_json")...)...)
	}
	delta := object{"type": "message_delta", "delta": object{"stop_reason": a.anthropicStop(), "stop_sequence": nil}}
	if a.told != nil {
		delta["usage"] = object{"output_tokens": a.told.Output}
	}
	return append(events, event{"message_delta", delta}, event{"message_stop", object{"type": "message_stop"}})
}

func deltas(text, kind, key string) []object {
	var out []object
	for _, piece := range pieces(text) {
		out = append(out, object{"type": kind, key: piece})
	}
	return out
}
