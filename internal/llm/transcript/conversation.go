package transcript

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
)

// conversation is one on its way to a trajectory.
type conversation struct {
	b      *builder
	number int
	t      atif.Trajectory

	last     *ask
	emitted  map[string]int // how often each message has become a step
	lastID   string         // of the last answer, and what it said
	lastText string
	calling  bool // it called tools
	spoke    int  // step, from 1, of the answer to the last request; 0: it has none yet
	echo     bool // the last answer has not come back in a request

	calls    int // answered ones
	usage    usage.Usage
	cost     float64
	unpriced bool
}

func (c *conversation) priced() bool { return c.calls > 0 && !c.unpriced }

// overlap counts the messages that a request has in common with the last one.
func (c *conversation) overlap(a *ask) int {
	n := 0
	for _, ref := range a.Items {
		if slices.Contains(c.last.Items, ref) {
			n++
		}
	}
	return n
}

// goesOn reports whether a request with that many messages in common goes on with the conversation: it has most of them, and with them
// something that the model has said, or all. Otherwise it begins with the same words, as sub-agents do.
func (c *conversation) goesOn(a *ask, same int) bool {
	if 2*same <= min(len(a.Items), len(c.last.Items)) {
		return false
	}
	return same == len(c.last.Items) || c.b.speaks(a)
}

// forgets reports whether the conversation is one of single questions, of which each stands alone, and waits for the next.
func (c *conversation) forgets() bool { return c.calls > 0 && !c.calling && !c.b.speaks(c.last) }

// ask adds what is new in a request. One that is made again adds nothing: its answer takes the place of the former.
func (c *conversation) ask(a *ask, shortened bool) {
	if c.last != nil {
		if left := c.left(a); a.Previous == "" && (left > 0 || shortened) {
			c.compacted(a, left)
		}
	}
	again := c.spoke > 0 && slices.Equal(a.Items, c.last.Items) && a.Previous == c.last.Previous
	c.last = a
	if !again {
		c.spoke = 0
		c.add(a)
	}
}

// left counts the answers and results of tools that the last request had and this one has not.
func (c *conversation) left(a *ask) int {
	n := 0
	for _, ref := range c.last.Items {
		i := c.b.item(ref)
		if i != nil && (i.Role == assistant || i.Role == tool) && !slices.Contains(a.Items, ref) {
			n++
		}
	}
	return n
}

func (b *builder) item(ref string) *item { return b.items[strings.TrimSuffix(ref, "+")] }

// compacted marks that from here on the model does not know all that was said.
func (c *conversation) compacted(a *ask, left int) {
	c.t.Add(atif.Step{
		Source: atif.SourceSystem, Timestamp: clock(a.Time),
		Message: atif.Text("The agent has shortened the conversation: not all of what came before is in its next requests."),
		Extra: map[string]any{
			"context_management": map[string]any{"type": "compaction", "boundary": "replace"}, "messages_left_out": left,
		},
	})
}

// add makes steps of the messages of a request that have not become one.
func (c *conversation) add(a *ask) {
	seen := map[string]int{}
	var open []string // messages that make one step
	var role string
	echo := c.echo
	c.echo = false
	flush := func() {
		if role == assistant && echo { // the answer, which is known
			echo = false
		} else {
			c.say(a.Time, role, open)
		}
		open = nil
	}
	for _, ref := range a.Items {
		bare := strings.TrimSuffix(ref, "+")
		i := c.b.items[bare]
		if seen[bare]++; i == nil || seen[bare] <= c.emitted[bare] {
			continue
		}
		c.emitted[bare]++
		same := i.Role == role && (role == assistant || role == tool || bare != ref)
		if len(open) > 0 && !same {
			flush()
		}
		role, open = i.Role, append(open, bare)
	}
	if len(open) > 0 {
		flush()
	}
}

// say adds messages of one role.
func (c *conversation) say(at time.Time, role string, refs []string) {
	if len(refs) == 0 {
		return
	}
	switch role {
	case tool:
		for _, ref := range refs {
			c.observe(c.b.items[ref])
		}
		return
	case assistant:
		c.copied(at, refs)
		return
	}
	var parts []atif.Part
	for _, ref := range refs {
		if i := c.b.items[ref]; i != nil {
			parts = append(parts, c.b.parts(i)...)
		}
	}
	source := atif.SourceUser
	if role == system {
		source = atif.SourceSystem
	}
	c.t.Add(atif.Step{Source: source, Timestamp: clock(at), Message: atif.Parts(parts)})
}

// copied adds what the agent says that its model has said, although the model was not asked here: examples, or an earlier session.
func (c *conversation) copied(at time.Time, refs []string) {
	yes := true
	step := atif.Step{Source: atif.SourceAgent, Timestamp: clock(at), IsCopiedContext: &yes}
	for _, ref := range refs {
		i := c.b.items[ref]
		step.Message = atif.Join(step.Message, atif.Parts(c.b.parts(i)))
		step.ReasoningContent = string(joinedTexts(step.ReasoningContent, i.Thought))
		step.ToolCalls = append(step.ToolCalls, toolCalls(i.Calls)...)
	}
	c.t.Add(step)
	c.name()
}

func joinedTexts(a, b string) paragraphs {
	p := paragraphs(a)
	p.add(b)
	return p
}

// parts gives the parts of a message, with its pictures kept.
func (b *builder) parts(i *item) []atif.Part {
	var parts []atif.Part
	for _, p := range i.Parts {
		switch {
		case p.Data != "":
			parts = append(parts, b.images.Base64(p.MediaType, p.Data))
		case p.URL != "":
			parts = append(parts, b.images.URL(p.URL))
		case p.Text != "":
			parts = append(parts, atif.TextPart(p.Text))
		}
	}
	return parts
}

// observe attaches what a tool gave to its call: by the id, or where there is none to the first of that name that has no result. What a tool gave
// is told again when the agent has shortened it, and stays as it was.
func (c *conversation) observe(i *item) {
	content := atif.Parts(c.b.parts(i))
	var extra map[string]any
	if i.Failed {
		extra = map[string]any{"is_error": true}
	}
	id := i.CallID
	for n := len(c.t.Steps) - 1; n >= 0 && id == ""; n-- {
		s := &c.t.Steps[n]
		at := slices.IndexFunc(s.ToolCalls, func(call atif.ToolCall) bool { return call.Function == i.Name && !observed(s, call.ID) })
		if at >= 0 {
			id = s.ToolCalls[at].ID
		} else if len(s.ToolCalls) > 0 {
			break
		}
	}
	if !c.answered(id) && !c.t.Observe(id, content, extra) {
		c.stray(atif.Result{Content: &content, Extra: extra})
	}
}

// answered reports whether the last call of that id has its result.
func (c *conversation) answered(id string) bool {
	for n := len(c.t.Steps) - 1; n >= 0; n-- {
		if s := &c.t.Steps[n]; slices.ContainsFunc(s.ToolCalls, func(call atif.ToolCall) bool { return call.ID == id }) {
			return observed(s, id)
		}
	}
	return false
}

func observed(s *atif.Step, id string) bool {
	return s.Observation != nil && slices.ContainsFunc(s.Observation.Results, func(r atif.Result) bool { return id != "" && r.SourceCallID == id })
}

// stray attaches what came of a call that nobody knows to the last step of the agent.
func (c *conversation) stray(r atif.Result) {
	for n := len(c.t.Steps) - 1; n >= 0; n-- {
		if s := &c.t.Steps[n]; s.Source == atif.SourceAgent {
			if s.Observation == nil {
				s.Observation = &atif.Observation{}
			}
			s.Observation.Results = append(s.Observation.Results, r)
			return
		}
	}
}

// answer adds an answer of the model.
func (c *conversation) answer(a *spoken) {
	c.calls++
	c.usage = c.usage.Add(a.Usage)
	if a.CostUSD == nil {
		c.unpriced = true
	} else {
		c.cost += *a.CostUSD
	}
	c.lastID, c.lastText, c.calling = a.ID, a.Text, len(a.Calls) > 0
	if c.t.Agent.ModelName == "" {
		c.t.Agent.ModelName = a.Model
	}
	one := 1
	step := atif.Step{
		Source: atif.SourceAgent, Timestamp: clock(a.Time), ModelName: a.Model, Message: atif.Text(a.Text), ReasoningContent: a.Thought,
		ToolCalls: toolCalls(a.Calls), Metrics: stepMetrics(a.Facts), LLMCallCount: &one,
	}
	if a.Cut {
		step.Extra = map[string]any{"cut": true}
	}
	if c.spoke > 0 && c.spoke == len(c.t.Steps) { // the agent has asked again, or twice at once
		c.replace(step)
		return
	}
	c.t.Add(step)
	c.name()
	c.spoke, c.echo = len(c.t.Steps), true
}

// replace puts an answer in the place of the last, which the agent did not take. What that cost stays.
func (c *conversation) replace(step atif.Step) {
	last := &c.t.Steps[len(c.t.Steps)-1]
	calls := *last.LLMCallCount + 1
	step.StepID, step.LLMCallCount, step.Metrics = last.StepID, &calls, addMetrics(last.Metrics, step.Metrics)
	*last = step
	c.name()
}

// name gives ids to the calls of the last step that have none, or the same as another.
func (c *conversation) name() {
	s := &c.t.Steps[len(c.t.Steps)-1]
	seen := map[string]bool{}
	for i := range s.ToolCalls {
		t := &s.ToolCalls[i]
		if t.ID == "" || seen[t.ID] {
			t.ID = fmt.Sprintf("call-%d-%d", s.StepID, i+1)
		}
		seen[t.ID] = true
	}
}

func toolCalls(calls []call) []atif.ToolCall {
	var made []atif.ToolCall
	for _, c := range calls {
		if c.Name == "" { // it was cut off
			c.Name = "unknown"
		}
		made = append(made, atif.ToolCall{ID: c.ID, Function: c.Name, Arguments: atif.Arguments(c.Args)})
	}
	return made
}

func stepMetrics(f Facts) *atif.Metrics {
	if !f.Usage.Known() {
		return nil
	}
	m := &atif.Metrics{PromptTokens: f.Usage.InputTotal, CompletionTokens: f.Usage.OutputTotal, CachedTokens: f.Usage.CacheRead, CostUSD: f.CostUSD}
	extra := map[string]any{}
	if n := f.Usage.CacheWrite; n != nil && *n > 0 {
		extra["cache_creation_input_tokens"] = *n
	}
	if n := f.Usage.Reasoning; n != nil && *n > 0 {
		extra["reasoning_tokens"] = *n
	}
	if f.Estimated {
		extra["estimated"] = true
	}
	if len(extra) > 0 {
		m.Extra = extra
	}
	return m
}

// addMetrics gives what two answers used together.
func addMetrics(a, b *atif.Metrics) *atif.Metrics {
	if a == nil || b == nil {
		return nil // one of them is unknown
	}
	sum := *b
	sum.PromptTokens, sum.CompletionTokens, sum.CachedTokens = plus(a.PromptTokens, b.PromptTokens), plus(a.CompletionTokens, b.CompletionTokens), plus(a.CachedTokens, b.CachedTokens)
	if sum.CostUSD = nil; a.CostUSD != nil && b.CostUSD != nil {
		cost := *a.CostUSD + *b.CostUSD
		sum.CostUSD = &cost
	}
	return &sum
}

func plus(a, b *int64) *int64 {
	if a == nil || b == nil {
		return nil
	}
	return usage.Of(*a + *b)
}

// told reports whether the instruction is among what users say.
func (c *conversation) told(instruction string) bool {
	instruction = strings.TrimSpace(instruction)
	return instruction != "" && slices.ContainsFunc(c.t.Steps, func(s atif.Step) bool {
		return s.Source == atif.SourceUser && strings.Contains(textOf(s.Message), instruction)
	})
}

// textOf gives the texts of a message.
func textOf(c atif.Content) string {
	all := paragraphs(c.Text)
	for _, p := range c.Parts {
		if p.Text != nil {
			all.add(*p.Text)
		}
	}
	return string(all)
}

// refer names another's conversation at the tool call that began it: one of whose arguments is what the other was told first.
func (c *conversation) refer(other *conversation, id string) {
	for i := range c.t.Steps {
		s := &c.t.Steps[i]
		for _, call := range s.ToolCalls {
			for _, arg := range call.Arguments {
				if text, is := arg.(string); !is || len(text) < shortestPrompt || !other.told(text) || s.Observation == nil {
					continue
				}
				for n := range s.Observation.Results {
					if r := &s.Observation.Results[n]; r.SourceCallID == call.ID {
						r.SubagentRefs = append(r.SubagentRefs, atif.SubagentRef{TrajectoryID: id})
						return
					}
				}
			}
		}
	}
}

// shortestPrompt is the length from which an argument may be what a sub-agent is told, in bytes.
const shortestPrompt = 10

func clock(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
