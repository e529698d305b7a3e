//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"errors"
	"fmt"

	"gvisor.dev/gvisor/pkg/control/client"
	"gvisor.dev/gvisor/pkg/urpc"
)

// errRemote marks an error that the sandbox's kernel reported, so that it is alive.
var errRemote = errors.New("the sandbox's kernel refused")

// call makes one call to the sandbox's kernel over its control socket. When ctx
// ends the connection is cut and ctx's error returned; what was asked for may go on.
func (s *box) call(ctx context.Context, method string, arg, result any) error {
	path, done, err := viaFD(s.dir.runsc(), sentrySocket(s.ID()))
	if err != nil {
		return err
	}
	conn, err := client.ConnectTo(path)
	done()
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Socket.Shutdown() })
	defer stop()
	if err := conn.Call(method, arg, result); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var remote urpc.RemoteError
		if errors.As(err, &remote) {
			return fmt.Errorf("%w: %s", errRemote, remote.Message)
		}
		return err
	}
	return nil
}
