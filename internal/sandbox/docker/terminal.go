package docker

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/moby/moby/client"

	"oddish/internal/sandbox"
)

var _ sandbox.Terminal = (*box)(nil)

// Terminal runs a command at a terminal that the engine makes.
func (b *box) Terminal(ctx context.Context, cmd sandbox.Command, sizes <-chan sandbox.TerminalSize) (int, error) {
	code, err := b.terminal(ctx, cmd, sizes)
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if err != nil {
		return 0, fmt.Errorf("run %s at a terminal in container %s: %w", label(cmd), b.id, b.died(ctx, err))
	}
	return code, nil
}

func (b *box) terminal(ctx context.Context, cmd sandbox.Command, sizes <-chan sandbox.TerminalSize) (int, error) {
	// What the engine says of a user or a directory that is not there would be shown as if the command had said it.
	if _, err := b.exec(ctx, sandbox.Command{Script: ":", User: cmd.User, Dir: cmd.Dir}); err != nil {
		return 0, err
	}
	o := b.execOptions(cmd)
	o.Cmd = []string{"sh", "-c", cmd.Script}
	o.TTY, o.AttachStdin = true, true
	made, err := b.p.engine.ExecCreate(ctx, b.id, o)
	if err != nil {
		return 0, unknownUser(cmd.User, err)
	}
	conn, err := b.p.engine.ExecAttach(ctx, made.ID, client.ExecAttachOptions{TTY: true})
	if err != nil {
		return 0, unknownUser(cmd.User, err)
	}
	shown := make(chan struct{})
	defer func() {
		conn.Close() // hangs up
		<-shown      // so that nothing is written afterwards
	}()
	if cmd.Stdin != nil {
		go func() { _, _ = io.Copy(conn.Conn, cmd.Stdin) }() // the terminal stays open at its end
	}
	go func() {
		defer close(shown)
		_, _ = io.Copy(orDiscard(cmd.Stdout), conn.Reader)
	}()
	doubt := time.NewTicker(heldAfter)
	defer doubt.Stop()
	for {
		select {
		case <-doubt.C: // what was left behind may hold the terminal
			if ended, err := b.ended(ctx, made.ID); err == nil && ended {
				return b.p.status(ctx, made.ID)
			}
		case size := <-sizes:
			// One that comes too early or too late is of no consequence.
			_, _ = b.p.engine.ExecResize(ctx, made.ID, client.ExecResizeOptions{Height: uint(size.Rows), Width: uint(size.Columns)})
		case <-shown:
			return b.p.status(ctx, made.ID)
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
