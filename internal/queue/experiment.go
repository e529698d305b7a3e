package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"oddish/api"
	"oddish/internal/store"
)

// publish makes the experiment public if the sweep says so. Its row is locked after all others.
func (l *ledger) publish(ctx context.Context, s *api.Sweep, e *store.Experiment) error {
	if s.PublishExperiment == nil || !*s.PublishExperiment || e.Public {
		return nil
	}
	if _, err := l.tx.ExecContext(ctx, "UPDATE experiments SET public = 1 WHERE id = $1", e.ID); err != nil {
		return fmt.Errorf("publish experiment %s: %w", e.ID, err)
	}
	e.Public = true
	return nil
}

// findOrCreate gives the experiment of a sweep.
func (l *ledger) findOrCreate(ctx context.Context, idOrName string) (store.Experiment, error) {
	if idOrName == "" {
		return l.create(ctx, newExperimentName())
	}
	e, err := store.FindExperiment(ctx, l.tx, idOrName)
	if !errors.Is(err, store.ErrNotFound) {
		return e, err
	}
	// Submissions that name a new experiment at the same time must make one, not several.
	if err := l.db.LockName(ctx, l.tx, "experiment "+idOrName); err != nil {
		return store.Experiment{}, err
	}
	e, err = store.FindExperiment(ctx, l.tx, idOrName)
	if !errors.Is(err, store.ErrNotFound) {
		return e, err
	}
	return l.create(ctx, idOrName)
}

func (l *ledger) create(ctx context.Context, name string) (store.Experiment, error) {
	e := store.Experiment{ID: store.NewID(), Name: name, CreatedAt: l.now}
	_, err := l.tx.ExecContext(ctx, "INSERT INTO experiments (id, name, created_at, last_activity) VALUES ($1, $2, $3, $3)",
		e.ID, e.Name, l.now.UnixMilli())
	if err != nil {
		return store.Experiment{}, fmt.Errorf("create experiment %s: %w", name, err)
	}
	return e, nil
}

// newExperimentName draws a name such as brave-otter-3f9c.
func newExperimentName() string {
	adjectives := []string{
		"amber", "bold", "brave", "bright", "brisk", "calm", "clever", "crisp", "eager", "early", "fair", "fleet", "gentle", "golden", "grand",
		"happy", "hardy", "jolly", "keen", "kind", "light", "lively", "lucky", "merry", "mild", "neat", "nimble", "noble", "patient", "plain",
		"polite", "proud", "quick", "quiet", "rapid", "ready", "robust", "round", "sharp", "silent", "sincere", "smooth", "solid", "steady",
		"sunny", "swift", "tidy", "true", "vivid", "warm", "wise", "young",
	}
	nouns := []string{
		"badger", "beaver", "bison", "carp", "cod", "crane", "crow", "deer", "dolphin", "dove", "eagle", "eel", "falcon", "finch", "fox", "gull",
		"haddock", "hare", "hawk", "heron", "herring", "ibis", "jay", "kite", "lark", "lynx", "marten", "mole", "moose", "newt", "otter", "owl",
		"perch", "pike", "plover", "puffin", "raven", "robin", "salmon", "seal", "shrew", "snipe", "sole", "sparrow", "squid", "stork", "swan",
		"tern", "trout", "turtle", "walrus", "wren",
	}
	return fmt.Sprintf("%s-%s-%04x", adjectives[rand.IntN(len(adjectives))], nouns[rand.IntN(len(nouns))], rand.IntN(1<<16))
}
