package transcript

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
)

// Note is what a trajectory that Build has made says of itself.
const Note = "Made from the requests that the agent sent to its model: it left no record of its own."

// Build makes a trajectory from the file of a Recorder: the conversation of the agent, with those of its sub-agents and helpers embedded. Instruction
// is what the agent was told, by which its own conversation is known among several. The trajectory lacks the agent's name and version. It is
// nil if no call was answered.
func Build(file io.Reader, instruction string) (*atif.Trajectory, *atif.Images, error) {
	b := &builder{items: map[string]*item{}, asks: map[int]*ask{}, of: map[int]*conversation{}, images: &atif.Images{}}
	if _, err := eachLine(file, b.line); err != nil {
		return nil, nil, fmt.Errorf("read the record of the model conversation: %w", err)
	}
	return b.trajectory(instruction), b.images, nil
}

// builder takes the lines of a file one after the other.
type builder struct {
	items         map[string]*item
	asks          map[int]*ask // with all their messages
	conversations []*conversation
	of            map[int]*conversation // of a request
	images        *atif.Images
	full          bool
}

func (b *builder) line(l *line) {
	switch {
	case l.Item != nil:
		b.items[l.Ref] = l.Item
	case l.Ask != nil:
		b.ask(l.Ask)
	case l.Answer != nil:
		if c := b.of[l.Answer.N]; c != nil {
			c.answer(l.Answer)
		}
	case l.Full:
		b.full = true
	}
}

// ask finds the conversation of a request and adds to it what is new.
func (b *builder) ask(a *ask) {
	if a.Keep > 0 {
		like := b.asks[a.Like]
		if like == nil || a.Keep > len(like.Items) {
			return // a line before it was lost
		}
		a.Items = slices.Concat(like.Items[:a.Keep], a.Items)
	}
	b.asks[a.N] = a
	delete(b.asks, a.N-2*recall) // no later one is like it
	c, shortened := b.find(a)
	if c == nil {
		c = &conversation{b: b, emitted: map[string]int{}, number: len(b.conversations) + 1}
		b.conversations = append(b.conversations, c)
		c.say(a.Time, system, a.System)
	}
	b.of[a.N] = c
	c.ask(a, shortened)
}

// find gives the conversation that a request goes on with, and whether it does so with a summary in the place of what was said; nil if it begins one.
func (b *builder) find(a *ask) (_ *conversation, shortened bool) {
	var best *conversation
	most := 0
	for _, c := range b.conversations {
		if a.Previous != "" && c.lastID == a.Previous {
			return c, false
		}
		if same := c.overlap(a); same >= most && b.kin(c, a) && c.goesOn(a, same) { // of several the youngest
			best, most = c, same
		}
	}
	if best != nil {
		return best, false
	}
	for _, c := range slices.Backward(b.conversations) {
		switch {
		case b.kin(c, a) && b.sumsUp(a):
			return c, true
		case a.Tools == c.last.Tools && b.creed(a) == b.creed(c.last) && c.forgets() && !b.speaks(a):
			return c, false
		}
	}
	return nil, false
}

// kin reports whether a request comes from the same agent as a conversation: it has the same tools, or the same words stand before it.
func (b *builder) kin(c *conversation, a *ask) bool {
	if a.Tools != "" && a.Tools == c.last.Tools {
		return true
	}
	return (a.Tools == "") == (c.last.Tools == "") && b.creed(a) == b.creed(c.last)
}

// speaks reports whether the model has said something of a request.
func (b *builder) speaks(a *ask) bool {
	return slices.ContainsFunc(a.Items, func(ref string) bool {
		i := b.item(ref)
		return i != nil && i.Role == assistant
	})
}

// creed gives the longest of the system's messages, in which agents are told who they are.
func (b *builder) creed(a *ask) string {
	longest, ref := 0, ""
	for _, r := range a.System {
		if i := b.items[r]; i != nil && len(i.text()) > longest {
			longest, ref = len(i.text()), r
		}
	}
	return ref
}

// sumsUp reports whether a request has the words of an earlier answer in a message of the user's: it is the summary with which the conversation goes on.
func (b *builder) sumsUp(a *ask) bool {
	for _, ref := range a.Items {
		i := b.item(ref)
		if i == nil || i.Role == assistant || i.Role == tool {
			continue
		}
		for _, c := range b.conversations {
			if repeats(i.text(), c.lastText) {
				return true
			}
		}
	}
	return false
}

// repeats reports whether a text has at least half of the longer lines of another, which agents put into a frame of their own.
func repeats(text, said string) bool {
	const short = 24
	lines, found := 0, 0
	for line := range strings.Lines(said) {
		if line = strings.TrimSpace(line); len(line) < short {
			continue
		}
		lines++
		if strings.Contains(text, line) {
			found++
		}
	}
	return found > 0 && 2*found >= lines
}

// trajectory puts the conversations together.
func (b *builder) trajectory(instruction string) *atif.Trajectory {
	own := b.own(instruction)
	if own == nil {
		return nil
	}
	t := &own.t
	t.SchemaVersion, t.Notes = atif.Version, Note
	t.Agent.Extra = map[string]any{"made_from": "model_requests"}
	if b.full {
		t.Notes += fmt.Sprintf(" Of these the first %d MiB were kept.", Limit>>20)
	}
	sum, cost, priced := own.usage, own.cost, own.priced()
	for _, c := range b.conversations {
		if c == own || c.calls == 0 {
			continue
		}
		sub := c.t
		sub.SchemaVersion, sub.TrajectoryID = atif.Version, fmt.Sprintf("conversation-%d", c.number)
		own.refer(c, sub.TrajectoryID)
		t.SubTrajectories = append(t.SubTrajectories, sub)
		sum, cost, priced = sum.Add(c.usage), cost+c.cost, priced && c.priced()
	}
	t.FinalMetrics = metrics(sum, cost, priced, len(t.Steps))
	return t
}

// own gives the agent's own conversation: that in which it was told the instruction, and of several that with the most calls. Nil: no call was answered.
func (b *builder) own(instruction string) *conversation {
	var best *conversation
	told := false
	for _, c := range b.conversations {
		has := c.told(instruction)
		if c.calls > 0 && (best == nil || has && !told || has == told && c.calls > best.calls) {
			best, told = c, has
		}
	}
	return best
}

func metrics(sum usage.Usage, cost float64, priced bool, steps int) *atif.FinalMetrics {
	m := &atif.FinalMetrics{
		TotalPromptTokens: sum.InputTotal, TotalCompletionTokens: sum.OutputTotal, TotalCachedTokens: sum.CacheRead, TotalSteps: &steps,
	}
	if priced {
		m.TotalCostUSD = &cost
	}
	return m
}
