//go:build linux && (amd64 || arm64)

package builtin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"oddish/internal/sandbox"
)

// The control protocol between worker and shim: one request a connection, each
// way one line of JSON.

// operation is what a worker asks of a shim.
type operation string

const (
	opNetwork operation = "network" // put another network policy in force
	opStop    operation = "stop"    // end the sandbox; confirmed before it is done
)

type request struct {
	Op      operation       `json:"op"`
	Network sandbox.Network `json:"network,omitzero"`
}

type reply struct {
	Error string `json:"error,omitempty"`
}

// errNoShim: nobody listens at the control socket.
var errNoShim = errors.New("the sandbox's shim does not answer")

// ask sends one request to the sandbox's shim. An error that wraps errNoShim
// means that it was not carried out as far as is known.
func (d stateDir) ask(ctx context.Context, r request) error {
	path, done, err := viaFD(string(d), controlSocket)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoShim, err)
	}
	defer done()
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoShim, err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Now()) })
	defer stop()
	if err := json.NewEncoder(c).Encode(r); err != nil {
		return fmt.Errorf("%w: %w", errNoShim, err)
	}
	var answer reply
	if err := json.NewDecoder(bufio.NewReader(c)).Decode(&answer); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: %w", errNoShim, err)
	}
	if answer.Error != "" {
		return errors.New(answer.Error)
	}
	return nil
}
