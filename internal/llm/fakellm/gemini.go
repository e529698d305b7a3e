package fakellm

// geminiUsage counts in every chunk what was written so far; only the last one's numbers are whole.
func (a answer) geminiUsage(last bool) object {
	u := a.told
	if !last {
		return object{"promptTokenCount": u.Input, "candidatesTokenCount": 1, "totalTokenCount": u.Input + 1}
	}
	usage := object{
		"promptTokenCount": u.Input, "candidatesTokenCount": u.Output - u.Reasoning, "totalTokenCount": u.Input + u.Output,
	}
	if u.CacheRead > 0 {
		usage["cachedContentTokenCount"] = u.CacheRead
	}
	if u.Reasoning > 0 {
		usage["thoughtsTokenCount"] = u.Reasoning
	}
	return usage
}

func (a answer) geminiChunk(parts []any, finish string) object {
	candidate := object{"content": object{"parts": parts, "role": "model"}, "index": 0}
	if finish != "" {
		candidate["finishReason"] = finish
	}
	chunk := object{"candidates": []any{candidate}, "modelVersion": a.q.model, "responseId": a.id("fake")}
	if a.told != nil {
		chunk["usageMetadata"] = a.geminiUsage(finish != "")
	}
	return chunk
}

func (a answer) geminiFinish() string {
	if a.Refuse {
		return "SAFETY"
	}
	return "STOP"
}

func (a answer) geminiCall() object {
	return object{"functionCall": object{"name": a.tool.name, "args": a.tool.args}, "thoughtSignature": "c2ln"}
}

func (a answer) geminiBody() object {
	parts := []any{}
	if a.Reasoning != "" {
		parts = append(parts, object{"text": a.Reasoning, "thought": true})
	}
	if a.Text != "" {
		parts = append(parts, object{"text": a.Text})
	}
	if a.tool != nil {
		parts = append(parts, a.geminiCall())
	}
	return a.geminiChunk(parts, a.geminiFinish())
}

func (a answer) geminiEvents() []event {
	var events []event
	chunk := func(finish string, part object) {
		events = append(events, event{data: a.geminiChunk([]any{part}, finish)})
	}
	if a.Reasoning != "" {
		chunk("", object{"text": a.Reasoning, "thought": true})
	}
	for _, piece := range pieces(a.Text) {
		chunk("", object{"text": piece})
	}
	if a.tool != nil {
		chunk("", a.geminiCall())
	}
	chunk(a.geminiFinish(), object{"text": ""})
	return events
}
