// Command scale measures a server with a big queue: it fills a database with trials, starts the program on it, and drives that over
// HTTP as clients and workers do. The trials are run by nobody: the workers here only claim, report and finish.
//
//	go run ./test/scale                                     # SQLite in a temporary folder
//	go run ./test/scale -database postgresql://…/empty      # an empty PostgreSQL database
//	go run ./test/scale -finished 10000 -queued 5000 -run claim,lists
//
// scripts/bench-queue.sh runs it on both. The load comes from the same machine, so that the server has only a part of it: the
// processor time of the server is told beside each figure. docs/performance.md explains the rows.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"oddish/client"
	"oddish/internal/store/storetest"
)

type options struct {
	database string // empty: SQLite in dir
	oddish   string // the program; empty: it is built
	dir      string
	rows     storetest.Rows
	duration time.Duration
	workers  int
	running  int
	stages   int
	run      []string
	fill     bool
}

// scenario is one thing that is measured.
type scenario struct {
	name string
	run  func(*bench, context.Context) error
}

// scenarios in the order in which they run: those that need many queued trials before the one that uses them up.
func scenarios() []scenario {
	return []scenario{
		{"claim", (*bench).claims}, {"lists", (*bench).lists}, {"enqueue", (*bench).enqueue},
		{"running", (*bench).running}, {"throughput", (*bench).throughput},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:])
	if err == nil {
		err = measure(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	fs := flag.NewFlagSet("scale", flag.ExitOnError)
	fs.StringVar(&o.database, "database", "", "`URL` of an empty database (default: SQLite in a temporary folder)")
	fs.StringVar(&o.oddish, "oddish", "", "the program to measure, a `FILE` (default: built from this source)")
	fs.StringVar(&o.dir, "dir", "", "`FOLDER` for data that is kept (default: a temporary one)")
	fs.IntVar(&o.rows.Finished, "finished", 400_000, "finished trials in the database, in thousands")
	fs.IntVar(&o.rows.Queued, "queued", 100_000, "queued trials in the database, in thousands")
	fs.IntVar(&o.rows.Keys, "keys", 64, "queue keys")
	fs.DurationVar(&o.duration, "duration", 15*time.Second, "time of the throughput; the running trials are watched for four times as long")
	fs.IntVar(&o.workers, "workers", 10, "workers that claim, report and finish")
	fs.IntVar(&o.running, "running", 5000, "trials that run at once")
	fs.IntVar(&o.stages, "stages", 1, "progress reports of a trial in the throughput")
	fs.BoolVar(&o.fill, "fill", true, "fill the database; false: it was, by a run before in the same -dir or -database")
	run := fs.String("run", strings.Join(names, ","), "what to measure")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	for name := range strings.SplitSeq(*run, ",") {
		if !slices.Contains(names, name) {
			return o, fmt.Errorf("-run %s: known are %s", name, strings.Join(names, ", "))
		}
		o.run = append(o.run, name)
	}
	return o, nil
}

// bench is a server on a filled database, and who drives it.
type bench struct {
	o      options
	server *server
	client *client.Client
}

func measure(ctx context.Context, o options) error {
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "oddish-scale-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.dir = dir
	}
	if o.database == "" {
		o.database = "sqlite:///" + filepath.Join(o.dir, "oddish.db")
	}
	if o.fill {
		if err := fill(ctx, o); err != nil {
			return err
		}
	}
	s, err := startServer(ctx, o)
	if err != nil {
		return err
	}
	defer s.stop()
	b := &bench{o: o, server: s, client: client.New(s.url, client.Options{})}
	for _, scenario := range scenarios() {
		if !slices.Contains(o.run, scenario.name) {
			continue
		}
		if err := scenario.run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", scenario.name, err)
		}
	}
	return nil
}

// row prints one line of the table.
func row(what, format string, args ...any) {
	fmt.Printf("%-58s %s\n", what, fmt.Sprintf(format, args...))
}
