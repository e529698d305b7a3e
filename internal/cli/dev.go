package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"oddish/internal/atif"
	"oddish/internal/llm/fakellm"
)

func (a *App) devCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "dev COMMAND",
		GroupID: groupServe,
		Short:   "Tools for trying things out",
		Long:    "Tools for trying things out without a model provider.",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(a.fakeModelCommand(), a.checkTrajectoryCommand())
	return cmd
}

func (a *App) fakeModelCommand() *cobra.Command {
	var script, listen string
	cmd := &cobra.Command{
		Use:   "fake-model [flags]",
		Short: "Serve a scripted model",
		Long: "Serve a model that answers by a script, in the APIs of Anthropic, OpenAI (Chat Completions and Responses) and Gemini. Without a " +
			"script it makes an agent write hello into out.txt and stop. The address is printed on standard output. How scripts look: docs/models.md.",
		Example: "oddish dev fake-model --listen 127.0.0.1:8090 &\n" +
			"oddish run my-tasks -a claude-code -m anthropic/claude-sonnet-4-5 --base-url http://127.0.0.1:8090",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			answers := fakellm.Default()
			if script != "" {
				var err error
				if answers, err = fakellm.Load(a.path(script)); err != nil {
					return failf("mend the script", "%v", err)
				}
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			return a.serveFakeModel(ctx, fakellm.New(answers), listen)
		},
	}
	cmd.Flags().StringVar(&script, "script", "", "`FILE`: what it answers (YAML or JSON)")
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "`ADDRESS`: where it listens; port 0 takes a free one")
	return cmd
}

func (a *App) checkTrajectoryCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check-trajectory FILE",
		Short: "Check a trajectory",
		Long: "Check a trajectory in ATIF, of any version from 1.0 to 1.7, such as the agent/trajectory.json of a trial or one that a program of yours " +
			"leaves. Every fault is told with its place.",
		Example: "oddish dev check-trajectory agent/trajectory.json",
		Args:    exactArgs("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			data, err := os.ReadFile(a.path(args[0]))
			if err != nil {
				return failf("name a file that can be read", "%v", err)
			}
			t, err := atif.Parse(data)
			if err != nil {
				return failf("what is yours belongs into extra; see docs/agents.md", "%s: %v", args[0], err)
			}
			a.outPrinter().line(fmt.Sprintf("%s is valid: %s with %d steps", args[0], t.SchemaVersion, len(t.Steps)))
			return nil
		},
	}
}

// serveFakeModel serves until ctx ends.
func (a *App) serveFakeModel(ctx context.Context, model *fakellm.Server, addr string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return failf("choose another address with --listen", "%v", err)
	}
	server := &http.Server{Handler: a.telling(model), ReadHeaderTimeout: 30 * time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	a.outPrinter().line("http://" + l.Addr().String())
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// telling names each request on standard error before it is answered.
func (a *App) telling(h http.Handler) http.Handler {
	var mu sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		a.errPrinter().line(r.Method + " " + r.URL.Path)
		mu.Unlock()
		h.ServeHTTP(w, r)
	})
}
