package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oddish/api"
	"oddish/internal/sandbox"
	"oddish/internal/worker"
)

func (a *App) sandboxCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "sandbox",
		GroupID: groupServe,
		Short:   "Look into the sandboxes of trials on this machine",
		Long: "See to the sandboxes of this installation on this machine, whichever worker started them: enter one, copy files, remove what is left over. " +
			"Sandboxes go when their trials end; `oddish run --keep-on-failure` keeps those of trials that went wrong.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.sandboxListCommand(), a.sandboxShellCommand(), a.sandboxCopyCommand(), a.sandboxRemoveCommand())
	return cmd
}

// foundBox is a sandbox of this installation.
type foundBox struct {
	sandbox.Info
	provider sandbox.Provider
	kept     *time.Time // until then; nil: it is not kept
}

// trial is the id of its trial; empty: it is none's, as of an image build.
func (b *foundBox) trial() string { return b.Labels["oddish.trial"] }

// isNamed tells whether the name is the sandbox's, or its trial's.
func (b *foundBox) isNamed(name string) bool {
	return name == b.ID || name == b.Name || name == b.trial() || name == shortID(b.ID)
}

// state is what becomes of it.
func (b *foundBox) state() string {
	switch {
	case !b.Running:
		return "dead"
	case b.kept != nil:
		return "kept"
	}
	return "running"
}

// workDir is the folder that workers share, see worker.Config.Dir.
func workDir(dataDir string) string { return filepath.Join(dataDir, "work") }

// boxes lists the sandboxes of this installation, the oldest first. Kinds that do not work here have none.
func (a *App) boxes(ctx context.Context) ([]foundBox, machine, error) {
	m, err := a.machine()
	if err != nil {
		return nil, m, err
	}
	m.log = slog.New(slog.DiscardHandler)
	providers, _, err := sandboxes(ctx, m, nil)
	if err != nil {
		return nil, m, err
	}
	kept, err := worker.KeptIn(workDir(m.dataDir)).List()
	if err != nil {
		return nil, m, err
	}
	var found []foundBox
	for _, p := range providers {
		list, err := p.List(ctx, ownerOf(m.dataDir))
		if err != nil {
			return nil, m, fmt.Errorf("list %s sandboxes: %w", p.Kind(), err)
		}
		for _, info := range list {
			b := foundBox{Info: info, provider: p}
			if i := slices.IndexFunc(kept, func(k worker.Kept) bool { return k.Kind == p.Kind() && k.ID == info.ID }); i >= 0 {
				b.kept = &kept[i].Until
			}
			found = append(found, b)
		}
	}
	slices.SortFunc(found, func(x, y foundBox) int { return x.Created.Compare(y.Created) })
	return found, m, nil
}

// findBox finds the sandbox that is meant by its id, its name, or its trial. Of a trial with two it is the agent's.
func (a *App) findBox(ctx context.Context, name string) (foundBox, error) {
	found, _, err := a.boxes(ctx)
	if err != nil {
		return foundBox{}, err
	}
	var of []foundBox
	for _, b := range found {
		switch {
		case !b.isNamed(name):
		case b.trial() != name:
			return b, nil
		default:
			of = append(of, b)
		}
	}
	slices.SortStableFunc(of, func(x, y foundBox) int { return len(x.Name) - len(y.Name) })
	if len(of) > 0 {
		return of[0], nil
	}
	return foundBox{}, notFound("`oddish sandbox list` lists those of this machine; they go when their trials end, unless run with --keep-on-failure, and are where the trial's worker is",
		"no sandbox here is of %s", name)
}

// attach gives the sandbox, which must be alive.
func (b *foundBox) attach(ctx context.Context) (sandbox.Sandbox, error) {
	if !b.Running {
		return nil, failf("remove it: oddish sandbox rm "+b.ID, "sandbox %s is dead", b.ID)
	}
	return b.provider.Attach(ctx, b.ID)
}

// noteKept says of which of the trials a sandbox is kept here, and how to enter it.
func (a *App) noteKept(trials []api.Trial) {
	cfg, err := a.config()
	if err != nil {
		return
	}
	kept, err := worker.KeptIn(workDir(cfg.DataDir)).List()
	if err != nil {
		a.warn("%v", err)
	}
	for _, k := range kept {
		if slices.ContainsFunc(trials, func(t api.Trial) bool { return t.ID == k.TrialID }) {
			a.note("kept for %s: oddish sandbox shell %s", formatSpan(time.Until(k.Until)), k.TrialID)
		}
	}
}

func (a *App) sandboxListCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use: "list [flags]", Aliases: []string{"ls"}, Short: "List the sandboxes of this installation on this machine", Args: noArgs,
		Example: "oddish sandbox list --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, _, err := a.boxes(cmd.Context())
			if err != nil {
				return err
			}
			return a.listBoxes(found, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: {sandboxes[{kind, id, name, trial_id, state, created_at, kept_until}]}")
	return cmd
}

// shownBox is a sandbox in JSON.
type shownBox struct {
	Kind    string     `json:"kind"`
	ID      string     `json:"id"`
	Name    string     `json:"name"`
	Trial   *string    `json:"trial_id"`
	State   string     `json:"state"`
	Created time.Time  `json:"created_at"`
	Kept    *time.Time `json:"kept_until"`
}

func (a *App) listBoxes(found []foundBox, asJSON bool) error {
	if asJSON {
		list := []shownBox{}
		for _, b := range found {
			s := shownBox{b.provider.Kind(), b.ID, b.Name, nil, b.state(), b.Created.UTC(), b.kept}
			if t := b.trial(); t != "" {
				s.Trial = &t
			}
			list = append(list, s)
		}
		return a.printJSON(map[string]any{"sandboxes": list})
	}
	out := a.outPrinter()
	if len(found) == 0 {
		out.line("No sandboxes.")
		return nil
	}
	columns := []column{{title: "ID", least: 12}, {title: "KIND"}, {title: "TRIAL", least: 16, middle: true}, {title: "STATE"}, {title: "AGE", right: true}, {title: "KEPT FOR", right: true, optional: true}}
	var rows [][]string
	now := time.Now()
	for _, b := range found {
		keptFor := ""
		if b.kept != nil {
			keptFor = formatSpan(b.kept.Sub(now))
		}
		rows = append(rows, []string{shortID(b.ID), b.provider.Kind(), firstNonEmpty(b.trial(), b.Name), b.state(), formatSpan(now.Sub(b.Created)), keptFor})
	}
	out.line(renderTable(out.width, columns, rows))
	return nil
}

// shortID cuts the long ids of containers to what docker shows.
func shortID(id string) string {
	if len(id) > 20 {
		return id[:12]
	}
	return id
}

func (a *App) sandboxRemoveCommand() *cobra.Command {
	var orphans, yes bool
	cmd := &cobra.Command{
		Use: "rm [SANDBOX|TRIAL]... [flags]", Short: "Remove sandboxes: the named ones, or those that nobody uses",
		Long: "Remove sandboxes. The trial of one that is in use fails, and is tried again elsewhere. --orphans removes the dead ones, and those that were kept; what a killed worker left, " +
			"the next worker removes by itself.",
		Example: "oddish sandbox rm hello-world-1a2b3c4d-0\noddish sandbox rm --orphans",
		Args: func(_ *cobra.Command, args []string) error {
			if (len(args) > 0) == orphans {
				return usagef("want the sandboxes that are to go, or --orphans")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.removeBoxes(cmd.Context(), args, orphans, yes) },
	}
	cmd.Flags().BoolVar(&orphans, "orphans", false, "those that are dead or kept")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func (a *App) removeBoxes(ctx context.Context, names []string, orphans, yes bool) error {
	found, m, err := a.boxes(ctx)
	if err != nil {
		return err
	}
	var gone []foundBox
	for _, b := range found {
		if slices.ContainsFunc(names, b.isNamed) || orphans && b.state() != "running" {
			gone = append(gone, b)
		}
	}
	if len(gone) == 0 && orphans {
		a.outPrinter().line("No sandboxes to remove.")
		return nil
	}
	for _, n := range names {
		if !slices.ContainsFunc(gone, func(b foundBox) bool { return b.isNamed(n) }) {
			return notFound("`oddish sandbox list` lists them", "no sandbox here is of %s", n)
		}
	}
	inUse := slices.ContainsFunc(gone, func(b foundBox) bool { return b.state() == "running" })
	if inUse && !yes {
		if ok, err := a.confirm(fmt.Sprintf("A trial is at work in one of them, or several are. Remove %d?", len(gone)), "--yes"); err != nil || !ok {
			return errors.Join(err, failf("", "nothing was removed"))
		}
	}
	for _, b := range gone {
		if err := removeSandbox(ctx, b.provider, b.ID); err != nil && !errors.Is(err, sandbox.ErrNotFound) {
			return err
		}
		if err := worker.KeptIn(workDir(m.dataDir)).Forget(b.provider.Kind(), b.ID); err != nil {
			return err
		}
		a.outPrinter().line("removed " + strings.TrimSpace(shortID(b.ID)+" "+b.trial()))
	}
	return nil
}
