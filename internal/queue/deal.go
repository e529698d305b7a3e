package queue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"oddish/internal/store"
)

// dealer gives out the slots of a claim: high priority first, and inside a priority one by one to the keys in turn, beginning with
// the one that was served longest ago. It reads of each queue only what it comes to, so that a claim costs the same
// however many keys have something.
type dealer struct {
	l     *ledger
	keys  []keyState
	kinds []string // of sandboxes
}

func (d *dealer) deal(ctx context.Context, slots int) ([]candidate, error) {
	var picked []candidate
	for len(picked) < slots {
		next := d.next()
		if next == nil {
			break
		}
		if !next.known() {
			if err := d.read(ctx, slots-len(picked)); err != nil {
				return nil, err
			}
			continue
		}
		picked = append(picked, next.candidates[next.taken])
		next.taken++
		next.group.take()
	}
	return picked, nil
}

// next is the key whose turn it is; nil: there is nothing left to give out.
func (d *dealer) next() *keyState {
	var next *keyState
	for i := range d.keys {
		if k := &d.keys[i]; k.open() && (next == nil || compareTurns(k, next) < 0) {
			next = k
		}
	}
	return next
}

// known reports whether the key's next candidate was read.
func (k *keyState) known() bool { return k.taken < len(k.candidates) }

// open reports whether the key may get another slot.
func (k *keyState) open() bool {
	return k.taken < k.free && k.group.left() > 0 && (k.known() || !k.complete)
}

// urgency is the priority of the key's next candidate; the best that it can have if that was not read.
func (k *keyState) urgency() int {
	switch {
	case k.known():
		return k.candidates[k.taken].priority
	case k.taken > 0:
		return k.candidates[k.taken-1].priority
	}
	return k.head
}

func compareTurns(a, b *keyState) int {
	return cmp.Or(
		cmp.Compare(a.urgency(), b.urgency()), cmp.Compare(a.taken, b.taken),
		cmp.Compare(a.servedAt, b.servedAt), cmp.Compare(a.key, b.key),
	)
}

// readAtOnce is how many queues one statement reads.
const readAtOnce = 16

// read reads the queues of the keys whose turn comes next, as far as they will be needed for so many slots.
func (d *dealer) read(ctx context.Context, slots int) error {
	var unread []*keyState
	open := 0
	for i := range d.keys {
		if k := &d.keys[i]; k.open() {
			open++
			if !k.known() {
				unread = append(unread, k)
			}
		}
	}
	slices.SortFunc(unread, compareTurns)
	unread = unread[:min(len(unread), slots, readAtOnce)]
	limit := (slots + open - 1) / open
	for _, k := range unread {
		limit = max(limit, 2*len(k.candidates))
	}
	found := map[string][]candidate{}
	for _, kind := range d.kinds {
		if err := d.l.readQueues(ctx, unread, kind, limit, found); err != nil {
			return err
		}
	}
	for _, k := range unread {
		k.complete = len(found[k.key]) < limit
		k.candidates = slices.SortedFunc(slices.Values(found[k.key]), compareCandidates)
		k.candidates = k.candidates[:min(len(k.candidates), limit)] // behind them one of another kind may be missing
	}
	return nil
}

// readQueues adds the first candidates of the keys to those found.
func (l *ledger) readQueues(ctx context.Context, keys []*keyState, kind string, limit int, found map[string][]candidate) error {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.key
	}
	var args store.Args
	query := candidatesQuery(&args, names, kind, limit)
	candidates, err := store.Collect(ctx, l.tx, query, args.Values, func(c *candidate) []any {
		return append(c.targets(), &c.priority, &c.rank)
	})
	if err != nil {
		return fmt.Errorf("read queues of %q: %w", names, err)
	}
	for _, c := range candidates {
		found[c.key] = append(found[c.key], c)
	}
	return nil
}

// candidatesQuery is one scan of the index jobs_ready for each key, however long its queue. There is one text for a single
// key and one for several, which the database keeps prepared.
func candidatesQuery(args *store.Args, keys []string, kind string, limit int) string {
	environment, most := args.Add(kind), args.Add(limit)
	if len(keys) > 1 {
		keys = append(slices.Clone(keys), make([]string, readAtOnce-len(keys))...)
	}
	queues := make([]string, len(keys))
	for i, key := range keys {
		queues[i] = "SELECT * FROM (SELECT " + jobColumns + ", priority, rank FROM jobs WHERE ready = 1 AND queue_key = " + args.Add(key) +
			" AND environment = " + environment + " ORDER BY priority, rank, id LIMIT " + most + ") AS q"
	}
	return strings.Join(queues, " UNION ALL ")
}
