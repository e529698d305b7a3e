package cli

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"oddish/client"
	"oddish/internal/config"
)

// endpoint is the address of a server.
type endpoint struct {
	url   string // without a trailing slash
	local bool   // a server that this program may start: plain HTTP on a loopback address
	host  string // to listen on, when local
	port  int    // when local
}

// findEndpoint decides which server is meant: by flag, by ODDISH_API_URL, the one that runs on the data directory,
// or the default. A port replaces the address's own.
func findEndpoint(cfg config.Config, api string, port int) (endpoint, error) {
	raw := api
	if raw == "" {
		raw = cfg.APIURL
	}
	if raw == "" && port == 0 && cfg.DataDir != "" {
		if dir, err := cfg.RequireDataDir(); err == nil {
			if s, ok := liveServer(dir); ok {
				raw = s.URL
			}
		}
	}
	if raw == "" {
		raw = config.DefaultAPIURL
	}
	e, err := parseEndpoint(raw)
	if err != nil || port == 0 {
		return e, err
	}
	if !e.local {
		return e, usagef("--port is for a server on this machine, and the address is %s", e.url)
	}
	e.port = port
	u, _ := url.Parse(e.url)
	u.Host = net.JoinHostPort(u.Hostname(), strconv.Itoa(port))
	e.url = u.String()
	return e, nil
}

func parseEndpoint(raw string) (endpoint, error) {
	if !strings.Contains(raw, "://") {
		raw = "http://" + raw
	}
	u, err := url.Parse(strings.TrimRight(raw, "/"))
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" || u.Fragment != "" {
		return endpoint{}, usagef("%q is no address of a server: want one such as %s", raw, config.DefaultAPIURL)
	}
	e := endpoint{url: u.String()}
	host, ok := loopback(u.Hostname())
	if !ok || u.Scheme != "http" || u.Path != "" {
		return e, nil
	}
	e.local, e.host, e.port = true, host, 80
	if p := u.Port(); p != "" {
		if e.port, err = strconv.Atoi(p); err != nil || e.port < 1 || e.port > 65535 {
			return endpoint{}, usagef("%q: %s is no port", raw, p)
		}
	}
	return e, nil
}

// sameAddress reports whether a URL means the endpoint, in whatever spelling.
func sameAddress(raw string, e endpoint) bool {
	o, err := parseEndpoint(raw)
	return err == nil && (o.url == e.url || o.local && e.local && o.host == e.host && o.port == e.port)
}

// loopback gives the address to listen on for a host name that means this machine.
func loopback(host string) (string, bool) {
	if strings.EqualFold(host, "localhost") {
		return "127.0.0.1", true
	}
	ip := net.ParseIP(host)
	if ip == nil || !ip.IsLoopback() {
		return "", false
	}
	return ip.String(), true
}

// connection is what a command that speaks to a server needs: settings, address, client.
type connection struct {
	cfg      config.Config
	endpoint endpoint
	client   *client.Client
}

// connect finds the server and makes a client of it, without a word to it yet.
func (a *App) connect(apiFlag string, port int) (connection, error) {
	cfg, err := a.config()
	if err != nil {
		return connection{}, err
	}
	e, err := findEndpoint(cfg, apiFlag, port)
	if err != nil {
		return connection{}, err
	}
	return connection{cfg: cfg, endpoint: e, client: newClient(e, cfg)}, nil
}

func newClient(e endpoint, cfg config.Config) *client.Client {
	return client.New(e.url, client.Options{APIKey: cfg.APIKey})
}

// addAPIFlag adds --api to a command that speaks to a server.
func addAPIFlag(fs *pflag.FlagSet, api *string) {
	fs.StringVar(api, "api", "", "`URL`: address of the server (default: ODDISH_API_URL, else http://localhost:8000)")
}

// reach connects, for a command that does not start a server, and makes sure that one is there. On this machine that is known
// at once; a remote one is left to the requests, which are repeated for a while.
func (a *App) reach(ctx context.Context, api string) (connection, error) {
	c, err := a.connect(api, 0)
	if err != nil || !c.endpoint.local {
		return c, err
	}
	_, err = probe(ctx, c.endpoint)
	if errors.Is(err, errNobody) {
		err = &client.TransportError{Method: "GET", URL: c.endpoint.url, Err: err}
	}
	return c, c.explain(err)
}

// explain adds what to do to an error of a request.
func (c connection) explain(err error) error {
	if err == nil || !client.Unreachable(err) {
		return err
	}
	hint := "check the address, or set ODDISH_API_URL"
	if c.endpoint.local {
		hint = "start one with `oddish run …`, or with `oddish api` to keep it in a terminal"
	}
	return &cliError{code: exitFailure, kind: "unreachable", msg: "no server answers at " + c.endpoint.url, hint: hint}
}
