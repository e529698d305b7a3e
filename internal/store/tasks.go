package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

const taskColumns = `k.id, k.name, k.submitter, k.priority, COALESCE(k.experiment_id, ''), k.tags, k.github_username,
	k.run_analysis, k.version, k.created_at`

func taskTargets(t *Task) []any {
	return []any{
		&t.ID, &t.Name, &t.User, priority{&t.Priority}, &t.ExperimentID, jsonText{&t.Tags}, &t.GithubUsername,
		flag{&t.RunAnalysis}, &t.Version, msTime{&t.CreatedAt},
	}
}

// Task returns the task with that id, or ErrNotFound.
func (db *DB) Task(ctx context.Context, id string) (Task, error) {
	return oneTask(ctx, db.read, "k.id = $1", id)
}

// TaskByName returns the task with that name, or ErrNotFound.
func (db *DB) TaskByName(ctx context.Context, name string) (Task, error) {
	return oneTask(ctx, db.read, "k.name = $1", name)
}

func oneTask(ctx context.Context, q Querier, where, value string) (Task, error) {
	var t Task
	row := q.QueryRowContext(ctx, "SELECT "+taskColumns+" FROM tasks k WHERE "+where, value)
	if err := row.Scan(taskTargets(&t)...); errors.Is(err, sql.ErrNoRows) {
		return Task{}, fmt.Errorf("task %s: %w", value, ErrNotFound)
	} else if err != nil {
		return Task{}, fmt.Errorf("read task %s: %w", value, err)
	}
	return t, nil
}

// insertTask creates the row unless its id or name is taken.
func insertTask(ctx context.Context, tx *sql.Tx, id, name string) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO tasks (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
		id, name, time.Now().UnixMilli())
	if err != nil {
		return fmt.Errorf("create task %s: %w", id, err)
	}
	return nil
}

// EnsureTask gives the task with that name, which it makes, without a version, if there is none.
func EnsureTask(ctx context.Context, tx *sql.Tx, name string) (Task, error) {
	if err := insertTask(ctx, tx, NewTaskID(name), name); err != nil {
		return Task{}, err
	}
	return oneTask(ctx, tx, "k.name = $1", name)
}

// TaskSummary returns the task with that id and the counts of all its trials, or ErrNotFound.
func (db *DB) TaskSummary(ctx context.Context, id string) (TaskSummary, error) {
	return FindTaskSummary(ctx, db.read, id)
}

// FindTaskSummary is DB.TaskSummary inside of a transaction.
func FindTaskSummary(ctx context.Context, q Querier, id string) (TaskSummary, error) {
	var args Args
	found, err := taskSummaries(ctx, q, "SELECT * FROM tasks WHERE id = "+args.Add(id), &args, "")
	if err != nil {
		return TaskSummary{}, err
	}
	if len(found) == 0 {
		return TaskSummary{}, fmt.Errorf("task %s: %w", id, ErrNotFound)
	}
	return found[0], nil
}

// Tasks returns the tasks that match the filter, newest first.
func (db *DB) Tasks(ctx context.Context, f TaskFilter) ([]TaskSummary, error) {
	var args Args
	return taskSummaries(ctx, db.read, tasksPage(f, &args), &args, f.ExperimentID)
}

func tasksPage(f TaskFilter, args *Args) string {
	var where []string
	if f.User != "" {
		where = append(where, "submitter = "+args.Add(f.User))
	}
	if f.ExperimentID != "" {
		where = append(where, "id IN (SELECT task_id FROM tallies WHERE experiment_id = "+args.Add(f.ExperimentID)+")")
	}
	page := "SELECT * FROM tasks"
	if len(where) > 0 {
		page += " WHERE " + strings.Join(where, " AND ")
	}
	return page + " ORDER BY created_at DESC, id DESC" + args.page(f.Limit, f.Offset)
}

// taskSummaries reads the tasks of the page with their counts: of one experiment's trials if one is given.
func taskSummaries(ctx context.Context, q Querier, page string, args *Args, experimentID string) ([]TaskSummary, error) {
	query := tasksQuery(page, args, experimentID)
	summaries, err := Collect(ctx, q, query, args.Values, func(s *TaskSummary) []any {
		targets := append(taskTargets(&s.Task), &s.ExperimentName, flag{&s.ExperimentPublic})
		return append(targets, countTargets(&s.Counts)...)
	})
	if err != nil {
		return nil, fmt.Errorf("read tasks: %w", err)
	}
	for i := range summaries {
		summaries[i].Counts.settle()
	}
	return summaries, nil
}

func tasksQuery(page string, args *Args, experimentID string) string {
	experiment, tallies := "k.experiment_id", "y.task_id = k.id"
	if experimentID != "" {
		experiment = args.Add(experimentID)
		tallies += " AND y.experiment_id = " + args.Add(experimentID)
	}
	return `SELECT ` + taskColumns + `, COALESCE(e.name, ''), COALESCE(e.public, 0), ` + countColumns + `
		FROM (` + page + `) k LEFT JOIN experiments e ON e.id = ` + experiment + ` LEFT JOIN tallies y ON ` + tallies + `
		GROUP BY k.id, k.name, k.submitter, k.priority, k.experiment_id, k.tags, k.github_username, k.run_analysis, k.version, k.created_at,
			e.name, e.public
		ORDER BY k.created_at DESC, k.id DESC`
}
