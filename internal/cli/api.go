package cli

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"oddish/internal/config"
)

type apiFlags struct {
	host        string
	port        int
	portGiven   bool
	nConcurrent jsonInts
	slots       int
	noWorker    bool
}

func (a *App) apiCommand() *cobra.Command {
	f := &apiFlags{}
	cmd := &cobra.Command{
		Use:     "api [flags]",
		GroupID: groupServe,
		Short:   "Run the server: API, dashboard, queue, and a worker",
		Long: "Run the server in this terminal, with a worker inside (unless --no-worker or ODDISH_AUTO_START_WORKERS=false).\n\n" +
			"The first SIGINT or SIGTERM lets running trials end (at most ODDISH_DRAIN_TIMEOUT), the second hands them back to the " +
			"queue, the third ends the process. Trials that were handed back go on at the next start.",
		Example: "oddish api\n" +
			`oddish api --n-concurrent '{"openai/gpt-5.2": 8, "anthropic/claude-sonnet-4-5": 4}'` + "\n" +
			"ODDISH_API_KEY=… oddish api --host 0.0.0.0",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.portGiven = cmd.Flags().Changed("port")
			return a.serve(cmd.Context(), f)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.host, "host", "", "`HOST`: address to listen on; one that others can reach needs ODDISH_API_KEY (default 127.0.0.1)")
	fs.IntVar(&f.port, "port", 0, "`N`: port to listen on; 0 takes a free one (default 8000, or that of ODDISH_API_URL)")
	fs.Var(&f.nConcurrent, "n-concurrent", "`JSON`: trials at once by queue key or provider (openai/*), over those of ODDISH_MODEL_CONCURRENCY_OVERRIDES")
	fs.IntVar(&f.slots, "slots", 0, "`N`: trials that the worker inside runs at once (default: ODDISH_WORKER_SLOTS)")
	fs.BoolVar(&f.noWorker, "no-worker", false, "no worker inside: run `oddish worker` beside it")
	return cmd
}

// listenAddress decides where the server listens: flags, settings, the loopback address of ODDISH_API_URL, the default.
func listenAddress(cfg config.Config, f *apiFlags) (host string, port int, err error) {
	host, port = "127.0.0.1", 8000
	if cfg.APIURL != "" {
		if e, err := parseEndpoint(cfg.APIURL); err == nil && e.local {
			host, port = e.host, e.port
		}
	}
	if cfg.APIHost != "" {
		host = cfg.APIHost
	}
	if cfg.APIPort != 0 {
		port = cfg.APIPort
	}
	if f.host != "" {
		host = f.host
	}
	if f.portGiven {
		port = f.port
	}
	if port < 0 || port > 65535 {
		return "", 0, usagef("--port %d: want 0 to 65535", port)
	}
	if l, ok := loopback(host); ok {
		return l, port, nil
	}
	if cfg.APIKey == "" {
		return "", 0, &cliError{
			code: exitUsage, kind: "usage", msg: "others could reach " + host + ", so the server wants a key",
			hint: "set ODDISH_API_KEY to a long random text, here and for the clients; or listen on 127.0.0.1",
		}
	}
	return host, port, nil
}

// listen opens the port.
func listen(ctx context.Context, host string, port int) (net.Listener, error) {
	address := net.JoinHostPort(host, strconv.Itoa(port))
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, failf("stop that program, or choose another port: --port "+strconv.Itoa(freePortNear(port)),
			"port %d of %s is taken by another program", port, host)
	case errors.Is(err, syscall.EACCES):
		return nil, failf("choose a port above 1023 with --port", "port %d may not be listened on without privileges", port)
	}
	return nil, failf("check --host and --port", "listen on %s: %v", address, err)
}

// urlOf is the address at which a listener is reached from this machine.
func urlOf(l net.Listener, host string) string {
	port := l.Addr().(*net.TCPAddr).Port
	switch ip := net.ParseIP(host); {
	case host == "127.0.0.1":
		host = "localhost"
	case ip != nil && ip.IsUnspecified():
		host = "localhost"
	}
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(host, strconv.Itoa(port))}
	return u.String()
}
