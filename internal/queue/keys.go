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

// allKeys is the name under which all keys together can be paused.
const allKeys = "*"

// KeyName gives the canonical form of a queue key as a user wrote it: that of the trials whose model is spelled
// so. PROVIDER/* is a pattern, and * is that of all keys. ErrKey for an empty text, a provider's bare name, and any other use of "*".
func KeyName(key string) (string, error) {
	if strings.TrimSpace(key) == "" {
		return "", fmt.Errorf("%w: it is empty", ErrKey)
	}
	if strings.TrimSpace(key) == allKeys {
		return allKeys, nil
	}
	name := canonicalKey(key)
	if provider := model.Normalize("", key); name == model.Default && provider != model.Default {
		return "", fmt.Errorf("%w: %q names no model; all models of a provider are %q", ErrKey, key, provider+patternEnd)
	}
	provider, pattern := strings.CutSuffix(name, patternEnd)
	if pattern && provider != "" && !strings.ContainsAny(provider, "*/") || !strings.Contains(name, "*") {
		return name, nil
	}
	return "", fmt.Errorf("%w: %q; a pattern is PROVIDER/*, such as openai/*, or * for all keys", ErrKey, key)
}

// LimitName is KeyName for what can have a limit: every key and PROVIDER/*, but not all keys together. ErrKey.
func LimitName(key string) (string, error) {
	name, err := KeyName(key)
	if name == allKeys {
		return "", fmt.Errorf("%w with a limit: %q can only be paused and resumed; give each key or provider (openai/*) a limit", ErrKey, key)
	}
	return name, err
}

// canonicalKey is the queue key that trials have whose model is spelled like key.
func canonicalKey(key string) string { return model.QueueKey("", key) }

// isPattern reports whether a canonical name is that of a pattern.
func isPattern(name string) bool { return name == allKeys || strings.HasSuffix(name, patternEnd) }

// patternOf is the pattern that a key falls under; empty for a key without a provider.
func patternOf(key string) string {
	if provider, _, qualified := strings.Cut(key, "/"); qualified {
		return provider + patternEnd
	}
	return ""
}

// Rows of queue_keys are locked in one order by all transactions, so that they do not deadlock: that of all keys, then patterns, then
// keys, and both in the order of their bytes.

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

// serverRuns is the condition that not everything is paused.
const serverRuns = "NOT EXISTS (SELECT 1 FROM queue_keys a WHERE a.queue_key = '" + allKeys + "' AND a.paused = 1)"

// allPaused reports whether everything is paused. A claim asks once its keys are locked, and what pauses everything locks all keys: so
// one of the two sees the other, and no claim has to lock a row that all of them share.
func (l *ledger) allPaused(ctx context.Context) (bool, error) {
	var runs bool
	if err := l.tx.QueryRowContext(ctx, "SELECT "+serverRuns).Scan(&runs); err != nil {
		return false, fmt.Errorf("read whether everything is paused: %w", err)
	}
	return !runs, nil
}

// lockAllKeys waits for the claims that have not seen what became of the row of all keys.
func (l *ledger) lockAllKeys(ctx context.Context) error {
	if l.db.ForUpdate() == "" {
		return nil // there is one writer
	}
	_, err := store.Texts(ctx, l.tx, "SELECT queue_key FROM queue_keys WHERE queue_key NOT LIKE '%*' ORDER BY queue_key"+l.db.ByteOrder()+l.db.ForUpdate())
	if err != nil {
		return fmt.Errorf("lock all queue keys: %w", err)
	}
	return nil
}
