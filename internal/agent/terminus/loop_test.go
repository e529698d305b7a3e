package terminus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
	"oddish/internal/result"
)

// talk is a model that answers in order, and a terminal that shows what was typed.
type talk struct {
	answers []any // string, Answer, error or func() any
	asked   [][]Message
	typed   []string
	screen  string
	gone    bool
	opened  int
	closed  bool
	onSend  func(keys string) error
}

func (k *talk) Ask(ctx context.Context, conversation []Message) (Answer, error) {
	k.asked = append(k.asked, append([]Message{}, conversation...))
	if len(k.answers) == 0 {
		return Answer{}, errors.New("nothing more to say")
	}
	next := k.answers[0]
	k.answers = k.answers[1:]
	if f, is := next.(func() any); is {
		next = f()
	}
	switch next := next.(type) {
	case string:
		return Answer{Text: next, Usage: usage.Usage{InputTotal: usage.Of(100), OutputTotal: usage.Of(10)}}, nil
	case Answer:
		return next, nil
	case error:
		return Answer{}, next
	}
	<-ctx.Done()
	return Answer{}, ctx.Err()
}

func (k *talk) Open(_ context.Context, fresh bool) error {
	if k.opened++; fresh {
		k.gone, k.screen = false, ""
	}
	return nil
}

func (k *talk) Send(_ context.Context, keys string) error {
	if k.gone {
		return ErrGone
	}
	k.typed = append(k.typed, keys)
	k.screen += "$ " + keys
	if k.onSend != nil {
		return k.onSend(keys)
	}
	return nil
}

func (k *talk) Capture(context.Context) (Capture, error) {
	if k.gone {
		return Capture{}, ErrGone
	}
	return Capture{k.screen + "$ ", k.screen + "$ "}, nil
}

func (k *talk) Close(context.Context) error { k.closed = true; return nil }

func (k *talk) config() Config {
	return Config{Model: k, Terminal: k, Instruction: "do it", ModelName: "p/m"}
}

func answer(complete bool, keys ...string) string {
	commands := []map[string]any{}
	for _, c := range keys {
		commands = append(commands, map[string]any{"keystrokes": c, "duration": 1})
	}
	text, _ := json.Marshal(map[string]any{"commands": commands, "task_complete": complete})
	return `{"analysis":"a","plan":"p",` + strings.TrimPrefix(string(text), "{")
}

// Harbor's list of tests, no. 55.
//
// Harbor test list #55
func TestItEndsWhenTheModelSaysTwiceThatItIsDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &talk{answers: []any{answer(false, "ls\n"), answer(true), answer(false, "pwd\n"), answer(true), answer(true)}}
		if err := Run(t.Context(), k.config()); err != nil {
			t.Fatal(err)
		}
		if len(k.asked) != 5 || strings.Join(k.typed, "") != "ls\npwd\n" {
			t.Errorf("asked %d times, typed %q", len(k.asked), k.typed)
		}
		if got := k.asked[2][len(k.asked[2])-1].Text; !strings.Contains(got, "Are you sure") {
			t.Errorf("after the first time it heard %q", got)
		}
		if got := k.asked[1][len(k.asked[1])-1].Text; !strings.Contains(got, "New Terminal Output:") || !strings.Contains(got, "ls") {
			t.Errorf("after a command it heard %q", got)
		}
		if first := k.asked[0][0].Text; !strings.Contains(first, "Task Description:\ndo it") || len(k.asked[0]) != 1 {
			t.Errorf("the first message is %q", first)
		}
	})
}

func TestItWaitsAsLongAsTheModelSays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &talk{answers: []any{answer(false, "a\n", "b\n"), answer(true), answer(true)}}
		began := time.Now()
		if err := Run(t.Context(), k.config()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

func TestAnAnswerThatCannotBeUnderstoodIsToldAndNothingTyped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &talk{answers: []any{"what?", Answer{Text: answer(false, "rm -r /\n"), Cut: true}, answer(true), answer(true)}}
		if err := Run(t.Context(), k.config()); err != nil {
			t.Fatal(err)
		}
		if got := k.asked[1][2].Text; !strings.Contains(got, "parsing errors") {
			t.Errorf("it heard %q", got)
		}
		if got := k.asked[2][4].Text; !strings.Contains(got, "cut off") {
			t.Errorf("it heard %q", got)
		}
		if len(k.typed) != 0 {
			t.Errorf("typed %q", k.typed)
		}
		always := &talk{}
		for range 100 {
			always.answers = append(always.answers, "what?")
		}
		if err := Run(t.Context(), always.config()); err == nil || len(always.asked) != maxPoor {
			t.Errorf("%v after %d answers", err, len(always.asked))
		}
	})
}

func TestAfterTheLastTurnItEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &talk{answers: []any{answer(false, "a\n"), answer(false, "b\n"), answer(false, "c\n")}}
		c := k.config()
		c.Options.MaxTurns = 2
		if err := Run(t.Context(), c); err != nil || len(k.asked) != 2 {
			t.Errorf("%v, asked %d times", err, len(k.asked))
		}
	})
}

func TestItsTimeIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &talk{answers: []any{answer(false, "a\n"), func() any { return nil }}}
		c := k.config()
		c.Timeout = time.Minute
		err := Run(t.Context(), c)
		var named *result.Error
		if !errors.As(err, &named) || named.Type != result.AgentTimeoutError || !k.closed {
			t.Errorf("%v, terminal closed: %t", err, k.closed)
		}
		stopped, stop := context.WithCancel(t.Context())
		k = &talk{answers: []any{func() any { stop(); return nil }}}
		if err := Run(stopped, k.config()); !errors.Is(err, context.Canceled) || k.closed {
			t.Errorf("%v, terminal closed: %t", err, k.closed)
		}
	})
}

func TestFailedCallsAreTriedAgainWhereThatHelps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		failure *CallError
		tries   int
		want    string
	}{
		"overloaded":  {&CallError{Type: result.APIOverloadedError, Status: 529, Message: "m"}, 3, result.APIOverloadedError},
		"no answer":   {&CallError{Type: result.NetworkConnectionError, Message: "m"}, 3, result.NetworkConnectionError},
		"wrong key":   {&CallError{Type: result.AgentAuthenticationError, Status: 401, Message: "m"}, 1, result.AgentAuthenticationError},
		"bad request": {&CallError{Type: result.UnknownAPIError, Status: 400, Message: "m"}, 1, result.UnknownAPIError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				k := &talk{answers: []any{c.failure, c.failure, c.failure, c.failure}}
				err := Run(t.Context(), k.config())
				var named *result.Error
				if !errors.As(err, &named) || named.Type != c.want || len(k.asked) != c.tries {
					t.Errorf("%v after %d tries", err, len(k.asked))
				}
			})
		})
	}
}

func TestALongConversationIsSummarized(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		long := Answer{Text: answer(false, "a\n"), Usage: usage.Usage{InputTotal: usage.Of(95_000), OutputTotal: usage.Of(100)}}
		k := &talk{answers: []any{long, "the summary", "1. why?", "because", answer(true), answer(true)}}
		c := k.config()
		c.ContextTokens, c.Snapshot = 100_000, filepath.Join(t.TempDir(), "state.json")
		if err := Run(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		after := k.asked[4]
		if len(after) != 5 || !strings.Contains(after[2].Text, "the summary") || after[3].Text != "1. why?" || !strings.Contains(after[4].Text, "because") {
			t.Errorf("after the summary it heard %+v", after)
		}
		r, err := Load(c.Snapshot)
		if err != nil || r.Compactions != 1 || len(r.Summaries) != 3 || len(r.Calls) != 6 {
			t.Errorf("%+v, %v", r, err)
		}
		checkTrajectory(t, r)
	})
}

func checkTrajectory(t *testing.T, r *Record) {
	t.Helper()
	tr := r.Trajectory("p/m", "s", nil)
	tr.Tidy()
	data, err := json.Marshal(tr)
	if err == nil {
		_, err = atif.Parse(data)
	}
	if err != nil {
		t.Errorf("trajectory: %v\n%s", err, data)
	}
}

func TestAConversationThatTheModelRefusesIsCutOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tooLong := &CallError{Type: result.ContextWindowExceededError, Status: 400, Message: "too long"}
		big := Answer{Text: answer(false, strings.Repeat("a", 5000)+"\n")}
		k := &talk{answers: []any{big, tooLong, tooLong, answer(true), answer(true)}}
		if err := Run(t.Context(), k.config()); err != nil {
			t.Fatal(err)
		}
		if after := k.asked[3]; len(after) != 1 || !strings.Contains(after[0].Text, "do it") || !strings.Contains(after[0].Text, "was cut") {
			t.Errorf("without a summary it heard %+v", after)
		}
		k = &talk{answers: []any{tooLong, tooLong, tooLong}}
		err := Run(t.Context(), k.config())
		var named *result.Error
		if !errors.As(err, &named) || named.Type != result.ContextWindowExceededError || len(k.asked) > 3 {
			t.Errorf("%v after %d calls", err, len(k.asked))
		}
	})
}

func TestAShellThatEndsIsReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &talk{answers: []any{answer(false, "exit\n", "ls\n"), answer(true), answer(true)}}
		k.onSend = func(keys string) error { k.gone = keys == "exit\n"; return nil }
		if err := Run(t.Context(), k.config()); err != nil {
			t.Fatal(err)
		}
		if got := k.asked[1][2].Text; !strings.Contains(got, "a new one was started") || len(k.typed) != 1 {
			t.Errorf("it heard %q; typed %q", got, k.typed)
		}
		k = &talk{}
		for range 10 {
			k.answers = append(k.answers, answer(false, "exit\n"))
		}
		k.onSend = func(string) error { k.gone = true; return nil }
		if err := Run(t.Context(), k.config()); err == nil || len(k.asked) != maxRestarts+1 {
			t.Errorf("%v after %d answers", err, len(k.asked))
		}
	})
}

// TestASuccessorGoesOnAndTypesNothingTwice ends the process at every step: a call of the model, and the typing of each command, which may or may not have happened.
func TestASuccessorGoesOnAndTypesNothingTwice(t *testing.T) {
	t.Parallel()
	for death := range 8 {
		t.Run(fmt.Sprint(death), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				script := []any{answer(false, "a\n", "b\n"), answer(false, "c\n"), answer(true), answer(true)}
				k := &talk{}
				ctx, kill := context.WithCancel(t.Context())
				events := 0
				event := func() {
					if events++; events == death+1 {
						kill()
					}
				}
				for _, a := range script {
					k.answers = append(k.answers, func() any { event(); return a })
				}
				k.onSend = func(string) error { event(); return ctx.Err() }
				c := k.config()
				c.Snapshot = filepath.Join(t.TempDir(), "state.json")
				err := Run(ctx, c)
				if ctx.Err() == nil {
					if err != nil {
						t.Fatal(err)
					}
					return // the story is shorter than that
				}
				if asked := len(k.asked); len(k.answers) < len(script) {
					k.answers = nil
					k.answers = append(k.answers, script[min(asked, len(script)-1):]...)
					k.answers = append(k.answers, answer(true), answer(true))
				}
				k.onSend = nil
				if err := Run(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				seen := map[string]int{}
				for _, keys := range k.typed {
					if seen[keys]++; seen[keys] > 1 {
						t.Errorf("typed %q", k.typed)
					}
				}
				r, err := Load(c.Snapshot)
				if err != nil {
					t.Fatal(err)
				}
				checkTrajectory(t, r)
			})
		})
	}
}
