package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"oddish/api"
	"oddish/client"
	"strconv"
	"syscall"
	"time"
)

// errNobody: nothing listens at the address.
var errNobody = errors.New("nothing listens there")

// probe asks who is at the address: a server of ours, nobody (errNobody), or something else.
func probe(ctx context.Context, e endpoint) (api.Health, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url+"/health", nil)
	if err != nil {
		return api.Health{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return api.Health{}, errNobody
		}
		if e.local && ctx.Err() == nil {
			return api.Health{}, portTaken(e)
		}
		return api.Health{}, &client.TransportError{Method: req.Method, URL: e.url + "/health", Err: err}
	}
	defer resp.Body.Close()
	var h api.Health
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil {
		err = json.Unmarshal(body, &h)
	}
	// Servers of the Python system do not name the service.
	if err != nil || resp.StatusCode != http.StatusOK || h.Database == "" || (h.Service != "" && h.Service != "oddish") {
		if e.local {
			return api.Health{}, portTaken(e)
		}
		return api.Health{}, failf("check the address", "what answers at %s is no Oddish server", e.url)
	}
	return h, nil
}

func portTaken(e endpoint) error {
	return failf("choose another port: --port "+strconv.Itoa(freePortNear(e.port))+", or set ODDISH_API_URL",
		"port %d of this machine is taken by another program", e.port)
}

// freePortNear suggests a port: the first one above that can be listened on now.
func freePortNear(port int) int {
	for p := port + 1; p < min(port+100, 65536); p++ {
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p))); err == nil {
			_ = l.Close()
			return p
		}
	}
	return port + 1
}
