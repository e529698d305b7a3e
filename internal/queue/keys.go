package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"oddish/internal/model"
	"oddish/internal/store"
)

// ErrKey says that a text names no queue key and no pattern of queue keys. The error that wraps it says what would.
var ErrKey = errors.New("no queue key")

// patternEnd is what patterns end with: PROVIDER/* stands for all keys that begin with PROVIDER/.
const patternEnd = "/*"

// KeyName gives the canonical form of a queue key as a user wrote it: that of the trials whose model is spelled
// so. PROVIDER/* is a pattern. ErrKey for an empty text, a provider's bare name, and any other use of "*".
func KeyName(key string) (string, error) {
	if strings.TrimSpace(key) == "" {
		return "", fmt.Errorf("%w: it is empty", ErrKey)
	}
	name := canonicalKey(key)
	if provider := model.Normalize("", key); name == model.Default && provider != model.Default {
		return "", fmt.Errorf("%w: %q names no model; all models of a provider are %q", ErrKey, key, provider+patternEnd)
	}
	provider, pattern := strings.CutSuffix(name, patternEnd)
	if pattern && provider != "" && !strings.ContainsAny(provider, "*/") || !strings.Contains(name, "*") {
		return name, nil
	}
	return "", fmt.Errorf("%w: %q; a pattern is PROVIDER/*, such as openai/*", ErrKey, key)
}

// canonicalKey is the queue key that trials have whose model is spelled like key.
func canonicalKey(key string) string { return model.QueueKey("", key) }

// isPattern reports whether a canonical name is that of a pattern.
func isPattern(name string) bool { return strings.HasSuffix(name, patternEnd) }

// patternOf is the pattern that a key falls under; empty for a key without a provider.
func patternOf(key string) string {
	if provider, _, qualified := strings.Cut(key, "/"); qualified {
		return provider + patternEnd
	}
	return ""
}

// Rows of queue_keys are locked in one order by all transactions, so that they do not deadlock: patterns before keys,
// and both in the order of their bytes.

// ensureKeys adds the rows of keys or patterns that are not there yet, and of the patterns that the keys fall under. Do it
// before locking any.
func (l *ledger) ensureKeys(ctx context.Context, names ...string) error {
	patterns, keys := map[string]bool{}, map[string]bool{}
	for _, name := range names {
		if isPattern(name) {
			patterns[name] = true
			continue
		}
		keys[name] = true
		if pattern := patternOf(name); pattern != "" {
			patterns[pattern] = true
		}
	}
	var args store.Args
	var rows []string
	for _, pattern := range slices.Sorted(maps.Keys(patterns)) {
		rows = append(rows, "("+args.Add(pattern)+", '')")
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		rows = append(rows, "("+args.Add(key)+", "+args.Add(patternOf(key))+")")
	}
	query := "INSERT INTO queue_keys (queue_key, pattern) VALUES " + strings.Join(rows, ", ") + " ON CONFLICT DO NOTHING"
	if _, err := l.tx.ExecContext(ctx, query, args.Values...); err != nil {
		return fmt.Errorf("add queue keys %q: %w", names, err)
	}
	return nil
}
