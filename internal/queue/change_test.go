package queue

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"oddish/internal/store"
)

func (f *fixture) setLimit(key string, n int) {
	f.t.Helper()
	if err := f.SetLimit(f.t.Context(), key, n, Reason{}); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) pause(key string) {
	f.t.Helper()
	if err := f.Pause(f.t.Context(), key, Reason{}); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) resume(key string) {
	f.t.Helper()
	if err := f.Resume(f.t.Context(), key, Reason{}); err != nil {
		f.t.Fatal(err)
	}
}

// claimedByKey claims all that can be had and counts it.
func (f *fixture) claimedByKey() map[string]int {
	f.t.Helper()
	count := map[string]int{}
	for _, c := range f.claim(100) {
		count[c.Trial.QueueKey]++
	}
	return count
}

func TestKeyNames(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"GPT-5.2": "openai/gpt-5.2", "openai/gpt-5.2": "openai/gpt-5.2", "local": "local", "default": "default",
		"OpenAI/*": "openai/*", "gemini/*": "google/*", "openrouter/*": "openrouter/*", "openrouter/anthropic/x": "openrouter/anthropic/x",
		"": "", " ": "", "openai": "", "Claude": "", " * ": "*", "openai/gpt-*": "", "*/gpt-5": "", "openrouter/anthropic/*": "", "*/*": "",
	} {
		got, err := KeyName(given)
		if got != want || (want == "") != errors.Is(err, ErrKey) {
			t.Errorf("%q gives %q, %v, want %q", given, got, err, want)
		}
	}
}

func TestAPatternBoundsAllKeysOfAProvider(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]map[string]int{
		"configured": {"OpenAI/*": 4, "openai/b": 1}, "at run time": {"openai/b": 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Options{DefaultLimit: 3, LocalLimit: 5, Limits: limits})
			for _, model := range []string{"openai/a", "openai/b", "openai/c", "openaix/a", "llama"} {
				f.add("e", model, 9)
			}
			if name == "at run time" {
				f.setLimit("openai/*", 4)
			}
			claimed := f.claim(100)
			count := map[string]int{}
			for _, c := range claimed {
				count[patternOf(c.Trial.QueueKey)]++
			}
			if count["openai/*"] != 4 || count["openaix/*"] != 3 || count[""] != 3 {
				t.Errorf("claimed %v", count)
			}
			f.claimNone()
			for _, c := range claimed {
				if patternOf(c.Trial.QueueKey) == "openai/*" {
					f.succeed(c, 1)
					break
				}
			}
			if n := len(f.claim(100)); n != 1 {
				t.Errorf("claimed %d after one ended, want 1", n)
			}
			f.setLimit("openai/*", 0)
			f.claimNone()
			if name == "at run time" {
				f.setLimit("openai/*", -1)
				if got := f.claimedByKey(); got["openai/a"]+got["openai/b"]+got["openai/c"] != 3 {
					t.Errorf("without the limit of the pattern %v more were claimed, want 3", got)
				}
			}
		})
	}
}

func TestKeysUnderAPatternShareIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 8, Limits: map[string]int{"openai/*": 6}})
	for _, model := range []string{"openai/a", "openai/b", "openai/c"} {
		f.add("e", model, 20)
	}
	for key, n := range f.claimedByKey() {
		if n != 2 {
			t.Errorf("of 6 slots %s got %d, want 2", key, n)
		}
	}
}

func TestAPausedKeyStartsNothing(t *testing.T) {
	t.Parallel()
	for _, paused := range []string{"gpt-5", "openai/*"} {
		t.Run(paused, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Options{DefaultLimit: 3})
			f.add("e", "gpt-5", 9)
			running := f.claim(1)
			f.add("e", "claude-x", 9)
			f.pause(paused)
			f.pause(paused)
			if got := f.claimedByKey(); got["openai/gpt-5"] > 0 || got["anthropic/claude-x"] != 3 {
				t.Errorf("claimed %v", got)
			}
			f.heartbeat(running...)
			f.succeed(running[0], 1) // what runs goes on
			f.claimNone()
			f.resume(paused)
			if got := f.claimedByKey(); got["openai/gpt-5"] != 3 {
				t.Errorf("claimed %v", got)
			}
		})
	}
}

func TestAKeyStaysPausedWhileItsPatternIs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.add("e", "gpt-5", 1)
	f.pause("openai/*")
	f.pause("gpt-5")
	f.resume("gpt-5")
	f.claimNone()
	s, _, err := f.Key(t.Context(), "gpt-5")
	if err != nil || s.PausedBy != "openai/*" {
		t.Errorf("key is %+v, %v", s, err)
	}
	f.resume("openai/*")
	f.claimOne()
}

func TestResumeWakesAWaitingClaim(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, f *fixture) {
		f.add("e", "gpt-5", 2)
		for _, paused := range []string{"gpt-5", "openai/*"} {
			f.pause(paused)
			waiting := f.claimLater(t.Context(), "other", 1, 20)
			time.Sleep(3 * time.Second)
			f.resume(paused)
			(<-waiting).want(t, 1, 3*time.Second)
		}
	})
}

func TestARaisedLimitOfAPatternWakesAWaitingClaim(t *testing.T) {
	bubble(t, Options{Limits: map[string]int{"openai/*": 1}}, func(t *testing.T, f *fixture) {
		f.add("e", "gpt-5", 1)
		f.add("e", "gpt-6", 1)
		f.claimOne()
		waiting := f.claimLater(t.Context(), "other", 1, 20)
		time.Sleep(3 * time.Second)
		f.setLimit("openai/*", 2)
		(<-waiting).want(t, 1, 3*time.Second)
	})
}

func TestKeysTellLimitsPausesAndPatterns(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 3, Limits: map[string]int{"openai/*": 5}})
	queued := f.clock.now()
	f.add("e", "gpt-5", 9)
	f.clock.advance(time.Minute)
	f.add("e", "gpt-6", 1)
	f.add("e", "claude-x", 1)
	f.claim(2)
	f.setLimit("gpt-5", 7)
	f.pause("openai/*")
	f.pause("mistral/*")
	keys, err := f.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, k := range keys {
		limit := func(n *int) string {
			if n == nil {
				return "none"
			}
			return fmt.Sprint(*n)
		}
		got += fmt.Sprintf("%s %s/%s %d+%d paused by %q bounded by %q\n", k.Key, limit(k.Limit), limit(k.Configured), k.Running, k.Queued, k.PausedBy, k.BoundedBy)
	}
	want := `anthropic/claude-x 3/3 1+0 paused by "" bounded by ""
mistral/* none/none 0+0 paused by "mistral/*" bounded by ""
openai/* 5/5 1+9 paused by "openai/*" bounded by ""
openai/gpt-5 7/3 1+8 paused by "openai/*" bounded by "openai/*"
openai/gpt-6 3/3 0+1 paused by "openai/*" bounded by "openai/*"
`
	for _, key := range keys {
		if key.Key == "openai/*" && (key.Oldest == nil || !key.Oldest.Equal(queued)) {
			t.Errorf("the oldest of openai/* is of %v, want %v", key.Oldest, queued)
		}
	}
	if got != want {
		t.Errorf("keys are\n%swant\n%s", got, want)
	}
}

func TestChangesAreKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 8})
	ctx := t.Context()
	if _, _, err := f.Key(ctx, "gpt-5"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a key that nobody used: %v", err)
	}
	first := f.clock.now()
	err := errors.Join(
		f.SetLimit(ctx, "gpt-5", 16, Reason{Text: "more quota", By: "ann"}),
		f.SetLimit(ctx, "openai/gpt-5", 16, Reason{Text: "again", By: "bob"}), // changes nothing
		f.Pause(ctx, "GPT-5", Reason{Text: "outage", By: "ann"}),
		f.Pause(ctx, "gpt-5", Reason{}),
		f.Resume(ctx, "gpt-5", Reason{}),
		f.SetLimit(ctx, "gpt-5", -1, Reason{By: "bob"}),
		f.SetLimit(ctx, "openai/*", 4, Reason{}),
		f.SetLimit(ctx, "openai/*", -1, Reason{}),
	)
	if err != nil {
		t.Fatal(err)
	}
	_, changes, err := f.Key(ctx, "gpt-5")
	if err != nil {
		t.Fatal(err)
	}
	wantChanges(t, changes, "default 16→8 bob", "resume -→-", "pause -→- outage ann", "limit 8→16 more quota ann")
	if !changes[3].At.Equal(first) {
		t.Errorf("the first change was at %v, want %v", changes[3].At, first)
	}
	s, changes, err := f.Key(ctx, "openai/*")
	if err != nil || s.Limit != nil {
		t.Errorf("pattern is %+v, %v", s, err)
	}
	wantChanges(t, changes, "default 4→-", "limit -→4")
}

func wantChanges(t *testing.T, changes []Change, want ...string) {
	t.Helper()
	shown := func(n *int) string {
		if n == nil {
			return "-"
		}
		return fmt.Sprint(*n)
	}
	var got []string
	for _, c := range changes {
		text := c.Kind + " " + shown(c.From) + "→" + shown(c.To)
		for _, word := range []string{c.Text, c.By} {
			if word != "" {
				text += " " + word
			}
		}
		got = append(got, text)
	}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("changes are %q, want %q", got, want)
	}
}

func TestWhatNamesNoKeyIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	if err := f.Pause(t.Context(), "openai/gpt-*", Reason{}); !errors.Is(err, ErrKey) {
		t.Errorf("pause: %v", err)
	}
	if err := f.SetLimit(t.Context(), "openai", 1, Reason{}); !errors.Is(err, ErrKey) {
		t.Errorf("limit: %v", err)
	}
	if _, err := f.Submit(t.Context(), f.sweep("e", "codex", "openai/*", 1)); !errors.Is(err, ErrKey) {
		t.Errorf("a model named as a pattern: %v", err)
	}
}

func TestWhatIsConfiguredIsShownBeforeItsFirstTrial(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{Limits: map[string]int{"openai/gpt-5.2": 8, "anthropic/*": 4}})
	keys, err := f.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, k := range keys {
		names = append(names, fmt.Sprint(k.Key, " ", *k.Limit))
	}
	if want := []string{"anthropic/* 4", "openai/gpt-5.2 8"}; !slices.Equal(names, want) {
		t.Errorf("keys are %q, want %q", names, want)
	}
	if k, changes, err := f.Key(t.Context(), "anthropic/*"); err != nil || *k.Limit != 4 || len(changes) != 0 {
		t.Errorf("anthropic/* is %+v, %v, %v", k, changes, err)
	}
}
