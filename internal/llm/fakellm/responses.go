package fakellm

import (
	"fmt"
	"strconv"
	"strings"
)

// responseID tells how many tool results the conversation has had up to this answer, for requests that continue from it by its id.
func (a answer) responseID() string { return fmt.Sprintf("resp_%06d_%d", a.number, a.q.turn) }

// turnOf reads the turn from an id of responseID's.
func turnOf(id string) int {
	n, err := strconv.Atoi(id[strings.LastIndexByte(id, '_')+1:])
	if err != nil {
		return 0
	}
	return n
}

func (a answer) responsesUsage() any {
	if a.told == nil {
		return nil
	}
	u := a.told
	return object{
		"input_tokens": u.Input, "input_tokens_details": object{"cached_tokens": u.CacheRead},
		"output_tokens": u.Output, "output_tokens_details": object{"reasoning_tokens": u.Reasoning}, "total_tokens": u.Input + u.Output,
	}
}

func (a answer) response(status string, output []any, usage any) object {
	r := object{
		"id": a.responseID(), "object": "response", "created_at": created, "status": status, "background": false, "error": nil,
		"incomplete_details": nil, "model": a.q.model, "output": output, "parallel_tool_calls": true, "previous_response_id": nil,
		"store": false, "tool_choice": "auto", "tools": []any{}, "usage": usage, "metadata": object{},
	}
	if a.Refuse && status == "incomplete" {
		r["incomplete_details"] = object{"reason": "content_filter"}
	}
	return r
}

// end gives the status with which the response ends.
func (a answer) end() string {
	if a.Refuse {
		return "incomplete"
	}
	return "completed"
}

func (a answer) reasoningItem() object {
	return object{"id": a.id("rs_"), "type": "reasoning", "summary": []any{object{"type": "summary_text", "text": a.Reasoning}}, "encrypted_content": "ZmFrZQ=="}
}

func (a answer) messageItem() object {
	return object{
		"id": a.id("msg_"), "type": "message", "status": "completed", "role": "assistant",
		"content": []any{object{"type": "output_text", "text": a.Text, "annotations": []any{}, "logprobs": []any{}}},
	}
}

func (a answer) callItem(status, args string) object {
	return object{"id": a.id("fc_"), "type": "function_call", "status": status, "call_id": a.id("call_"), "name": a.tool.name, "arguments": args}
}

func (a answer) items() []any {
	items := []any{}
	if a.Reasoning != "" {
		items = append(items, a.reasoningItem())
	}
	if a.Text != "" {
		items = append(items, a.messageItem())
	}
	if a.tool != nil {
		items = append(items, a.callItem("completed", a.argsJSON()))
	}
	return items
}

func (a answer) responsesBody() object {
	return a.response(a.end(), a.items(), a.responsesUsage())
}

// responsesStream numbers the events of a stream.
type responsesStream struct {
	answer
	events []event
	output int // index of the next item
}

func (s *responsesStream) add(kind string, fields object) {
	fields["type"], fields["sequence_number"] = kind, len(s.events)
	s.events = append(s.events, event{kind, fields})
}

func (a answer) responsesEvents() []event {
	s := &responsesStream{answer: a}
	s.add("response.created", object{"response": a.response("in_progress", []any{}, nil)})
	s.add("response.in_progress", object{"response": a.response("in_progress", []any{}, nil)})
	if a.Reasoning != "" {
		s.reasoning()
	}
	if a.Text != "" {
		s.message()
	}
	if a.tool != nil {
		s.toolCall()
	}
	s.add("response."+a.end(), object{"response": a.responsesBody()})
	return s.events
}

func (s *responsesStream) reasoning() {
	id := s.id("rs_")
	s.add("response.output_item.added", object{"output_index": s.output, "item": object{"id": id, "type": "reasoning", "summary": []any{}}})
	at := func() object { return object{"item_id": id, "output_index": s.output, "summary_index": 0} }
	with := func(key string, v any) object { o := at(); o[key] = v; return o }
	part := object{"type": "summary_text", "text": s.Reasoning}
	s.add("response.reasoning_summary_part.added", with("part", object{"type": "summary_text", "text": ""}))
	for _, piece := range pieces(s.Reasoning) {
		s.add("response.reasoning_summary_text.delta", with("delta", piece))
	}
	s.add("response.reasoning_summary_text.done", with("text", s.Reasoning))
	s.add("response.reasoning_summary_part.done", with("part", part))
	s.add("response.output_item.done", object{"output_index": s.output, "item": s.reasoningItem()})
	s.output++
}

func (s *responsesStream) message() {
	id := s.id("msg_")
	s.add("response.output_item.added", object{"output_index": s.output, "item": object{"id": id, "type": "message", "status": "in_progress", "role": "assistant", "content": []any{}}})
	at := func() object { return object{"item_id": id, "output_index": s.output, "content_index": 0} }
	with := func(key string, v any) object { o := at(); o[key] = v; return o }
	part := func(text string) object {
		return object{"type": "output_text", "text": text, "annotations": []any{}, "logprobs": []any{}}
	}
	s.add("response.content_part.added", with("part", part("")))
	for _, piece := range pieces(s.Text) {
		s.add("response.output_text.delta", with("delta", piece))
	}
	s.add("response.output_text.done", with("text", s.Text))
	s.add("response.content_part.done", with("part", part(s.Text)))
	s.add("response.output_item.done", object{"output_index": s.output, "item": s.messageItem()})
	s.output++
}

func (s *responsesStream) toolCall() {
	id, args := s.id("fc_"), s.argsJSON()
	s.add("response.output_item.added", object{"output_index": s.output, "item": s.callItem("in_progress", "")})
	for _, piece := range pieces(args) {
		s.add("response.function_call_arguments.delta", object{"item_id": id, "output_index": s.output, "delta": piece})
	}
	s.add("response.function_call_arguments.done", object{"item_id": id, "output_index": s.output, "arguments": args})
	s.add("response.output_item.done", object{"output_index": s.output, "item": s.callItem("completed", args)})
	s.output++
}
