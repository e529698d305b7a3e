package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/builtin"
	"oddish/internal/sandbox/docker"
	"oddish/internal/sandbox/hostile"
	"oddish/internal/store"
)

type doctorFlags struct {
	sandbox, json bool
	env, image    string
}

func (a *App) doctorCommand() *cobra.Command {
	f := &doctorFlags{}
	cmd := &cobra.Command{
		Use:     "doctor [flags]",
		GroupID: groupServe,
		Short:   "See whether this machine can run trials, and what its sandboxes hold back",
		Long: "Look at what Oddish needs on this machine: data directory, database, sandboxes. With --sandbox, hostile programs are run in sandboxes here, and a table says what holds at which level of isolation " +
			"(docs/security.md). Nothing is harmed by them.",
		Example:     "oddish doctor\noddish doctor --sandbox --env docker --image debian:bookworm",
		Annotations: map[string]string{notesAnnotation: "Exit status: 0 all is well; 1 something is not: it is marked with ✗."},
		Args:        noArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd.Context(), f) },
	}
	fs := cmd.Flags()
	fs.BoolVar(&f.sandbox, "sandbox", false, "run hostile programs in sandboxes of this machine; takes about half a minute")
	fs.StringVarP(&f.env, "env", "e", "", "`KIND`: with --sandbox: builtin or docker (default: those that work here)")
	fs.StringVar(&f.image, "image", "debian:bookworm-slim", "`IMAGE`: of docker's sandboxes, with bash and perl")
	fs.BoolVar(&f.json, "json", false, "print JSON: {checks[{name, ok, detail}], sandboxes[{kind, level, findings[{name, level, result, why}]}]}")
	return cmd
}

// doctorCheck is one thing that Oddish needs.
type doctorCheck struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// doctorSandbox is what hostile programs came to in one kind of sandbox.
type doctorSandbox struct {
	Kind     string            `json:"kind"`
	Level    int               `json:"level"`
	Findings []hostile.Finding `json:"findings"`
}

func (a *App) doctor(ctx context.Context, f *doctorFlags) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	if f.env != "" && f.env != builtin.Kind && f.env != docker.Kind {
		return usagef("--env %s: want builtin or docker", f.env)
	}
	m, err := a.machine()
	if err != nil {
		return err
	}
	m.log = slog.New(slog.DiscardHandler)
	checks, providers := a.lookAround(ctx, m)
	tried := []doctorSandbox{}
	if f.sandbox {
		if tried, err = a.tryHostile(ctx, f, m, providers); err != nil {
			return err
		}
	}
	if f.json {
		err = a.printJSON(map[string]any{"checks": checks, "sandboxes": tried})
	} else {
		a.printDoctor(checks, tried)
	}
	bad := slices.ContainsFunc(checks, func(c doctorCheck) bool { return !c.OK })
	for _, s := range tried {
		bad = bad || slices.ContainsFunc(s.Findings, func(f hostile.Finding) bool { return f.Result == hostile.Broken })
	}
	if err == nil && bad {
		return failf("the lines with ✗ say what", "something is not as it should be")
	}
	return err
}

// lookAround checks what trials need, and gives the sandboxes that work here. That one kind does not is no fault while another does.
func (a *App) lookAround(ctx context.Context, m machine) ([]doctorCheck, []sandbox.Provider) {
	checks := []doctorCheck{{"data directory", true, m.dataDir}}
	cfg, err := a.config()
	if err == nil {
		checks = append(checks, lookAtDatabase(ctx, cfg.DatabaseURL(m.dataDir), m.log))
	}
	var working []sandbox.Provider
	var kinds []doctorCheck
	for _, kind := range []string{builtin.Kind, docker.Kind} {
		p, err := newProvider(ctx, kind, m)
		if err == nil {
			working = append(working, p)
		}
		kinds = append(kinds, doctorCheck{kind + " sandboxes", err == nil, orWords(err, fmt.Sprintf("isolation level %d%s", levelOf(p), lacks(p)))})
	}
	for i := range kinds {
		if !kinds[i].OK && len(working) > 0 {
			kinds[i].OK, kinds[i].Detail = true, "not here: "+kinds[i].Detail
		}
	}
	return append(checks, kinds...), working
}

// lookAtDatabase asks the database whether it is there, and makes none.
func lookAtDatabase(ctx context.Context, url string, log *slog.Logger) doctorCheck {
	shown := withoutPassword(url)
	if path, is := store.SQLitePath(url); is {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return doctorCheck{"database", true, shown + ", which the first run makes"}
		}
	}
	db, err := store.Open(ctx, url, log)
	if err == nil {
		err = db.Ping(ctx)
		_ = db.Close() // it was only asked whether it is there
	}
	return doctorCheck{"database", err == nil, orWords(err, shown)}
}

func orWords(err error, otherwise string) string {
	if err != nil {
		return err.Error()
	}
	return otherwise
}

func levelOf(p sandbox.Provider) int {
	if p == nil {
		return 0
	}
	return p.Capabilities().Isolation
}

// lacks names the limits that are not enforced on this machine.
func lacks(p sandbox.Provider) string {
	if p == nil {
		return ""
	}
	can := p.Capabilities()
	var missing []string
	for _, l := range []struct {
		what string
		has  bool
	}{{"processors", can.CPULimit}, {"memory", can.MemoryLimit}, {"disk", can.StorageLimit}} {
		if !l.has {
			missing = append(missing, l.what)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return ", no limits of " + strings.Join(missing, ", ")
}

// tryHostile runs the hostile programs in each kind that is wanted.
func (a *App) tryHostile(ctx context.Context, f *doctorFlags, m machine, working []sandbox.Provider) ([]doctorSandbox, error) {
	tried := []doctorSandbox{}
	for _, p := range working {
		if f.env != "" && p.Kind() != f.env {
			continue
		}
		image := sandbox.Image{Host: true}
		if !p.Capabilities().HostImage {
			image = sandbox.Image{Reference: f.image}
		}
		c := hostile.Config{Provider: p, Image: image, Owner: ownerOf(m.dataDir)}
		if !f.json {
			a.note("running hostile programs in %s sandboxes …", p.Kind())
		}
		findings, err := hostile.Run(ctx, c)
		if err != nil {
			return nil, err
		}
		tried = append(tried, doctorSandbox{p.Kind(), levelOf(p), findings})
	}
	if len(tried) == 0 {
		return nil, failf("`oddish doctor` says why", "there is no sandbox here to try")
	}
	return tried, nil
}

func (a *App) printDoctor(checks []doctorCheck, tried []doctorSandbox) {
	out := a.outPrinter()
	for _, c := range checks {
		mark := out.style(styleGood).Render("✓")
		if !c.OK {
			mark = out.style(styleError).Render("✗")
		}
		out.line(mark + " " + c.Name + ": " + c.Detail)
	}
	for _, s := range tried {
		out.line("")
		out.line(out.style(styleBold).Render(fmt.Sprintf("%s, isolation level %d", s.Kind, s.Level)))
		columns := []column{{title: "A HOSTILE PROGRAM"}, {title: "FROM LEVEL", right: true}, {title: "HERE"}}
		var rows, why [][]string
		for _, f := range s.Findings {
			rows = append(rows, []string{f.Name, fmt.Sprint(f.Level), findingCell(f.Result)})
			if f.Why != "" && f.Result != hostile.NotApplicable {
				why = append(why, []string{f.Name, f.Why})
			}
		}
		out.line(renderTable(out.width, columns, rows))
		for _, w := range why {
			out.line("  " + w[0] + ": " + w[1])
		}
	}
}

func findingCell(r hostile.Result) string {
	switch r {
	case hostile.Holds:
		return styleOf(styleGood).Render("✓ holds")
	case hostile.Broken:
		return styleOf(styleError).Render("✗ does not hold")
	case hostile.Beyond:
		return styleOf(styleWarn).Render("○ of a higher level")
	}
	return styleOf(styleFaint).Render("– not claimed here")
}
