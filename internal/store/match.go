package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"oddish/internal/predicate"
)

// Match is a query whose names were looked up in a database, so that what it matches is found by index: trials of
// experiments and tasks by their ids, states and errors by indexes that hold only those.
type Match struct {
	query  predicate.Query
	named  []named // by term; zero for those that name nothing outside of trials
	engine engine
	now    time.Time
}

// named are the rows of another table that a term stands for.
type named struct {
	table *nameTable
	ids   []string
	many  bool // more than maxNamed, which are not listed
}

// maxNamed is how many ids of experiments or tasks are listed in a statement; more are left to a subquery.
const maxNamed = 200

// matchTables are what the conditions of a Match are about: t is the trial, j its job, a the run that tells its outcome.
const matchTables = "trials t JOIN jobs j ON j.id = t.id LEFT JOIN attempts a ON a.trial_id = t.id AND a.attempt = j.outcome_attempt"

// Match looks up what the query names. Ages in it are counted from now.
func (db *DB) Match(ctx context.Context, q predicate.Query, now time.Time) (Match, error) {
	m := Match{query: q, named: make([]named, len(q.Terms)), engine: db.engine, now: now}
	for i, term := range q.Terms {
		table := nameTableOf(term.Field)
		if table == nil {
			continue
		}
		n := &m.named[i]
		n.table = table
		var args Args
		query := fmt.Sprintf("%s LIMIT %d", m.namesQuery(&args, table, term), maxNamed+1)
		var err error
		if n.ids, err = Collect(ctx, db.read, query, args.Values, func(id *string) []any { return []any{id} }); err != nil {
			return Match{}, fmt.Errorf("look up %s: %w", term.Field, err)
		}
		n.many = len(n.ids) > maxNamed
	}
	return m, nil
}

// MatchingIDs returns the ids of all trials that match, in the order of their bytes.
func (db *DB) MatchingIDs(ctx context.Context, m Match) ([]string, error) {
	var args Args
	query := "SELECT t.id FROM " + matchTables + " WHERE " + m.condition(&args) + " ORDER BY t.id" + db.ByteOrder()
	ids, err := Collect(ctx, db.read, query, args.Values, func(id *string) []any { return []any{id} })
	if err != nil {
		return nil, fmt.Errorf("look for trials: %w", err)
	}
	return ids, nil
}

// Among gives a subquery for the ids of those of some trials that match.
func (m Match) Among(args *Args, ids []string) string {
	return "SELECT t.id FROM " + matchTables + " WHERE t.id IN " + args.List(ids) + " AND " + m.narrowed(args, true)
}

// Position is where a trial stands in a list of the newest trials first.
type Position struct {
	Created time.Time
	TaskID  string
	Index   int
}

// PositionOf gives that of a trial.
func PositionOf(t Trial) Position {
	p := Position{Created: t.CreatedAt, TaskID: t.TaskID}
	_, _ = fmt.Sscanf(strings.TrimPrefix(t.ID, t.TaskID), "-%d", &p.Index) // ids are <task>-<index>
	return p
}

// MatchingTrials returns trials that match, the newest first and those of one submission by task and index, without their
// secrets: at most limit, those behind a position if one is given.
func (db *DB) MatchingTrials(ctx context.Context, m Match, after *Position, limit int) ([]Trial, error) {
	var args Args
	query := matchingQuery(m, after, limit, &args)
	trials, err := Collect(ctx, db.read, query, args.Values, trialTargets)
	if err != nil {
		return nil, fmt.Errorf("look for trials: %w", err)
	}
	return trials, nil
}

func matchingQuery(m Match, after *Position, limit int, args *Args) string {
	query := trialQuery + " WHERE " + m.condition(args)
	if after != nil {
		ms := args.Add(after.Created.UnixMilli())
		query += " AND t.created_at <= " + ms + " AND (t.created_at < " + ms + " OR (t.task_id, t.idx) > (" + args.Add(after.TaskID) + ", " + args.Add(after.Index) + "))"
	}
	return query + " ORDER BY t.created_at DESC, t.task_id, t.idx LIMIT " + args.Add(limit)
}

// condition holds for what matches.
func (m Match) condition(args *Args) string { return m.narrowed(args, m.narrow()) }

// narrowed is condition; where few trials are looked at anyway it does not go by the indexes of states and errors.
func (m Match) narrowed(args *Args, few bool) string {
	conditions := make([]string, 0, len(m.query.Terms))
	for i, term := range m.query.Terms {
		c := m.term(args, term, m.named[i])
		if term.Not {
			c = "NOT " + c
		}
		conditions = append(conditions, c)
		if term.Not || few {
			continue
		}
		if source := m.source(args, term); source != "" {
			conditions = append(conditions, "t.id IN ("+source+")")
		}
	}
	if len(conditions) == 0 {
		return "1 = 1"
	}
	return strings.Join(conditions, " AND ")
}

// narrow reports whether a term bounds the trials by their ids, or those of their experiments or tasks.
func (m Match) narrow() bool {
	for i, term := range m.query.Terms {
		if !term.Not && (m.named[i].table != nil && !m.named[i].many || term.Field == predicate.Trial && !anyGlob(term)) {
			return true
		}
	}
	return false
}

func anyGlob(t predicate.Term) bool {
	for _, v := range t.Values {
		if v.Glob {
			return true
		}
	}
	return false
}

// source gives a query for the ids of all trials that a term can hold for, by an index of few rows; empty without one.
func (m Match) source(args *Args, term predicate.Term) string {
	switch term.Field {
	case predicate.Status:
		return stateSource(term)
	case predicate.Error:
		for _, v := range term.Values {
			if v.Presence == predicate.None {
				return ""
			}
		}
		return "SELECT trial_id FROM attempts WHERE error_type <> '' AND " + anyOf(term, func(v predicate.Value) string {
			return presence(v, "error_type", func() string { return matches(args, "error_type", v.Pattern) })
		})
	}
	return ""
}

// stateSource finds jobs by the partial indexes of package queue's statements.
func stateSource(term predicate.Term) string {
	const (
		ready   = "SELECT id FROM jobs WHERE ready = 1"
		held    = "SELECT id FROM jobs WHERE held = 1"
		delayed = "SELECT id FROM jobs WHERE state = 'retrying' AND ready = 0 AND held = 0"
	)
	byState := map[string][]string{
		"queued": {ready, held}, "retrying": {ready, held, delayed}, "running": {"SELECT id FROM jobs WHERE state = 'running'"},
		"failed": {"SELECT id FROM jobs WHERE state = 'failed'"}, "cancelled": {"SELECT id FROM jobs WHERE state = 'cancelled'"},
	}
	var parts []string
	seen := map[string]bool{}
	for _, v := range term.Values {
		if byState[v.Text] == nil {
			return ""
		}
		for _, part := range byState[v.Text] {
			if !seen[part] {
				seen[part] = true
				parts = append(parts, part)
			}
		}
	}
	return strings.Join(parts, " UNION ALL ")
}
