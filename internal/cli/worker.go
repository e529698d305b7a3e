package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
)

type workerFlags struct {
	api   string
	slots int
	env   []string
}

func (a *App) workerCommand() *cobra.Command {
	f := &workerFlags{}
	cmd := &cobra.Command{
		Use:     "worker [flags]",
		GroupID: groupServe,
		Short:   "Run a further worker, on this or another machine",
		Long: "Run a worker: it claims trials from the server, runs them in sandboxes of this machine, and delivers what comes of them. " +
			"It needs the address of the server and its key, and no access to the database.\n\n" +
			"Signals are as for `oddish api`: the first lets running trials end, the second hands them back, the third ends the process.",
		Example: "ODDISH_API_URL=https://oddish.example.org ODDISH_API_KEY=… oddish worker --slots 16 --env docker",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.work(cmd.Context(), f)
		},
	}
	fs := cmd.Flags()
	fs.IntVar(&f.slots, "slots", 0, "`N`: trials at once (default: ODDISH_WORKER_SLOTS)")
	fs.StringSliceVarP(&f.env, "env", "e", nil, "`KINDS`: sandboxes to offer, preferred first, such as "+strings.Join(sandboxKinds()[:2], ",")+" (default: all that work here)")
	addAPIFlag(fs, &f.api)
	return cmd
}

// work carries out `oddish worker`.
func (a *App) work(ctx context.Context, f *workerFlags) error {
	if f.slots < 0 || f.slots > 1000 {
		return usagef("--slots %d: want 1 to 1000", f.slots)
	}
	c, err := a.connect(f.api, 0)
	if err != nil {
		return err
	}
	dir, err := c.cfg.RequireDataDir()
	if err != nil {
		return err
	}
	if err := prepareDataDir(dir); err != nil {
		return err
	}
	log := a.logger(c.cfg)
	providers, reasons, err := sandboxes(ctx, machineOf(c.cfg, dir, log), f.env)
	if err != nil {
		return err
	}
	for _, r := range reasons {
		log.Warn("sandbox kind is not offered", "reason", r)
	}
	w, err := newWorker(c.cfg, dir, c.endpoint.url, f.slots, providers, log)
	if err != nil {
		return err
	}
	ctx, stop := drainSignals(ctx, w.HandBack, log)
	defer stop()
	return w.Run(ctx)
}
