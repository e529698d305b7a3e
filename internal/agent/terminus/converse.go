package terminus

import (
	"context"
	"errors"
	"time"

	"oddish/internal/atif"
	"oddish/internal/result"
)

// CallError is a call of the model that failed for good. Type is one of the names of package result.
type CallError struct {
	Type    string
	Status  int // of HTTP; 0: there was no answer
	Message string
	Wait    time.Duration // that the provider asked for
}

func (e *CallError) Error() string { return e.Message }

// Tries of a call, and the pauses between. The gateway has waited out what it could before.
const (
	maxTries   = 3
	firstPause = 4 * time.Second // doubles
	lastPause  = 15 * time.Second
)

// worthAnother tells failures that another try may mend.
func (e *CallError) worthAnother() bool {
	switch e.Type {
	case result.ContextWindowExceededError, result.OutputTokenExceededError, result.AgentAuthenticationError, result.APIUsageLimitError,
		result.ModelNotFoundError, result.AgentSafetyRefusalError:
		return false
	}
	return e.Status == 0 || e.Status == 408 || e.Status == 409 || e.Status == 429 || e.Status >= 500
}

// converse asks the model what comes next, after a summary where the conversation is too long.
func (l *loop) converse(ctx context.Context) (Answer, error) {
	if l.full() {
		if err := l.compact(ctx); err != nil {
			return Answer{}, err
		}
	}
	answer, err := l.call(ctx, append(l.state.History, Message{Role: "user", Text: l.state.Next}))
	var failed *CallError
	if errors.As(err, &failed) && failed.Type == result.ContextWindowExceededError && !l.Options.NoSummary {
		if err := l.shorten(ctx); err != nil {
			return Answer{}, err
		}
		answer, err = l.call(ctx, append(l.state.History, Message{Role: "user", Text: l.state.Next}))
	}
	if errors.As(err, &failed) {
		return Answer{}, result.Errorf(failed.Type, "the call of the model failed: %w", err)
	}
	if err != nil {
		return Answer{}, err
	}
	l.remember(answer)
	return answer, nil
}

// call is one call of the model, tried again where that may help. What it used is counted.
func (l *loop) call(ctx context.Context, conversation []Message) (Answer, error) {
	pause := firstPause
	for try := 1; ; try++ {
		began := l.Now()
		answer, err := l.Model.Ask(ctx, conversation)
		if err == nil {
			r := &l.state.Record
			r.Usage = r.Usage.Add(answer.Usage)
			r.Calls = append(r.Calls, l.Now().Sub(began).Milliseconds())
			return answer, nil
		}
		var failed *CallError
		if ctx.Err() != nil || !errors.As(err, &failed) || !failed.worthAnother() || try == maxTries {
			return Answer{}, err
		}
		l.Log.Warn("call of the model failed", "try", try, "error", err)
		if err := l.Sleep(ctx, max(pause, min(failed.Wait, time.Minute))); err != nil {
			return Answer{}, err
		}
		pause = min(2*pause, lastPause)
	}
}

// remember puts what was said into the history.
func (l *loop) remember(a Answer) {
	s := l.state
	m := Message{Role: "assistant", Text: a.Text}
	if l.Options.Interleave {
		m.Reasoning, m.Raw = a.Reasoning, a.Raw
	}
	s.History = append(s.History, Message{Role: "user", Text: s.Next}, m)
	s.Tokens, s.Told = 0, 0
	if in, out := a.Usage.InputTotal, a.Usage.OutputTotal; in != nil && out != nil {
		s.Tokens, s.Told = *in+*out, size(s.History)
	}
}

// bytesPerToken estimates tokens of text that no provider has counted yet, carefully: most text has more bytes for each.
const bytesPerToken = 3

// tokens estimates how long the conversation with what comes next is: as the provider has told at the last call, and by its bytes
// what has come since. There is no tokenizer here that knows every model.
func (s *state) tokens() int64 {
	return s.Tokens + int64(size(s.History)-s.Told+len(s.Next))/bytesPerToken
}

func size(history []Message) int {
	n := 0
	for _, m := range history {
		n += len(m.Text) + len(m.Reasoning)
	}
	return n
}

// full reports whether the conversation is so long that it is time for a summary.
func (l *loop) full() bool {
	return !l.Options.NoSummary && len(l.state.History) > 0 && l.ContextTokens-l.state.tokens() < l.Options.Reserve
}

// shorten makes room in a conversation that the model has refused: the newest exchanges go until a summary of the rest can be asked for.
func (l *loop) shorten(ctx context.Context) error {
	s := l.state
	for len(s.History) > 2 && l.ContextTokens-s.tokens() < spareForSummary {
		s.History = s.History[:len(s.History)-2]
		s.Tokens, s.Told = 0, 0
	}
	return l.compact(ctx)
}

// compact puts a summary in the place of the conversation. Of the ways to one the first that works is taken; the last needs no model.
func (l *loop) compact(ctx context.Context) error {
	s := l.state
	before := s.tokens()
	screen := ""
	if now, err := l.Terminal.Capture(ctx); err == nil {
		screen = limit(now.Screen, maxObservation)
	}
	history, next, trail, err := l.summarize(ctx, screen)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l.Log.Warn("no summary of the conversation could be had; it is cut", "error", err)
		history, next = nil, firstPrompt(l.parser, l.Instruction, "")+"\n\n"+shortPrompt(tailOf(screen, 1000))
	}
	s.Record.Compactions++
	s.History, s.Next, s.Tokens, s.Told, s.Sure = history, next, 0, 0, false
	if after := s.tokens(); after >= before { // or it would be tried for ever
		return result.Errorf(result.ContextWindowExceededError, "the conversation does not fit into the model, and its summary is no shorter: %d tokens after %d", after, before)
	}
	l.compacted(trail)
	return l.save()
}

// summarize asks the model for a summary, what it leaves open, and the answers.
func (l *loop) summarize(ctx context.Context, screen string) (history []Message, next string, trail []atif.Trajectory, err error) {
	s := l.state
	user := func(text string) Message { return Message{Role: "user", Text: text} }
	said := func(a Answer) Message { return Message{Role: "assistant", Text: a.Text} }
	var first []Message
	if len(s.History) > 0 {
		first = s.History[:1]
	} else {
		first = []Message{user(s.Next)}
	}
	ask := user(summaryPrompt(l.Instruction))
	summary, err := l.call(ctx, append(append([]Message{}, s.History...), ask))
	if err != nil {
		return nil, "", nil, err
	}
	trail = append(trail, l.aside("summary", ask, summary))
	wonder := user(questionsPrompt(l.Instruction, summary.Text, screen))
	questions, err := l.call(ctx, []Message{wonder})
	if err != nil {
		return nil, "", nil, err
	}
	trail = append(trail, l.aside("questions", wonder, questions))
	reply := user(answersPrompt(questions.Text))
	answers, err := l.call(ctx, append(append([]Message{}, s.History...), ask, said(summary), reply))
	if err != nil {
		return nil, "", nil, err
	}
	trail = append(trail, l.aside("answers", reply, answers))
	return []Message{first[0], {Role: "assistant", Text: "Understood."}, wonder, said(questions)}, goOnPrompt(answers.Text), trail, nil
}

func tailOf(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return text[len(text)-most:]
}
