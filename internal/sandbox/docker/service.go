package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"oddish/internal/sandbox"
)

// A container reaches a service of the worker through a relay: this program, mounted into it and started there, takes
// connections on the container's loopback, which needs no network, and forwards them to the worker's socket.
const (
	serviceAddr = "127.0.0.1:18731"
	relayPath   = "/oddish/relay"   // this program
	serviceDir  = "/oddish/service" // the folder of the socket, so that one that is made anew is found
)

// relayTimeout bounds the start of the relay.
const relayTimeout = 30 * time.Second

// mounts are what the relay needs, and the folder of programs. Nothing of it is writable inside.
func (p *Provider) mounts(spec sandbox.Spec) ([]mount.Mount, error) {
	var list []mount.Mount
	show := func(what, source, target string) error {
		path, err := filepath.Abs(source)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		list = append(list, mount.Mount{Type: mount.TypeBind, Source: path, Target: target, ReadOnly: true})
		return nil
	}
	if spec.Programs != "" {
		if err := show("folder of programs", spec.Programs, sandbox.ProgramsDir); err != nil {
			return nil, err
		}
	}
	if spec.ServiceSocket == "" {
		return list, nil
	}
	if err := show("the relay", p.program, relayPath); err != nil {
		return nil, err
	}
	return list, show("service socket", filepath.Dir(spec.ServiceSocket), serviceDir)
}

// notMounted explains why a container with a service cannot be made.
func notMounted(spec sandbox.Spec, err error) error {
	if (spec.ServiceSocket != "" || spec.Programs != "") && notSeen(err) {
		return fmt.Errorf("the engine does not see this machine's files, so its containers have neither the programs of agents nor the worker's model gateway: "+
			"run the worker on the engine's machine: %w", err)
	}
	return err
}

// notSeen reports whether the engine has not found a file of this machine that was to be mounted.
func notSeen(err error) bool {
	return saysAny(err, "bind source path does not exist", "invalid mount config")
}

// offer starts the relay. It ends with the container.
func (b *box) offer(ctx context.Context, socket string) error {
	if socket == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, relayTimeout)
	defer cancel()
	made, err := b.p.engine.ExecCreate(ctx, b.id, client.ExecCreateOptions{
		Cmd:          []string{relayPath, relayArg, serviceAddr, path.Join(serviceDir, filepath.Base(socket))},
		User:         "0",
		WorkingDir:   "/",
		AttachStdout: true,
		AttachStderr: true,
	})
	if err != nil {
		return fmt.Errorf("start the relay to the worker: %w", err)
	}
	conn, err := b.p.engine.ExecAttach(ctx, made.ID, client.ExecAttachOptions{})
	if err != nil {
		return fmt.Errorf("start the relay to the worker: %w", relayFault(err.Error()))
	}
	defer conn.Close()
	if err := awaitReady(ctx, conn.HijackedResponse); err != nil {
		return fmt.Errorf("start the relay to the worker: %w", err)
	}
	return nil
}

// awaitReady reads what one of our programs in a container says, until it is ready.
func awaitReady(ctx context.Context, conn client.HijackedResponse) error {
	defer context.AfterFunc(ctx, conn.Close)() // ends the reading
	var said relayWords
	_, err := stdcopy.StdCopy(&said, &said, conn.Reader)
	switch {
	case errors.Is(err, errReady):
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return relayFault(said.String())
}

// errReady ends the reading of what the relay says.
var errReady = errors.New("ready")

// relayWords keeps what is said until the relay is ready.
type relayWords struct{ bytes.Buffer }

var _ io.Writer = (*relayWords)(nil)

func (w *relayWords) Write(p []byte) (int, error) {
	if room := 1000 - w.Len(); room > 0 {
		w.Buffer.Write(p[:min(room, len(p))])
	}
	for line := range strings.Lines(w.String()) {
		if strings.TrimSpace(line) == relayReady {
			return len(p), errReady
		}
	}
	return len(p), nil
}

// relayFault says what a relay that did not come up means.
func relayFault(said string) error {
	said = strings.TrimSpace(said)
	switch {
	case strings.Contains(said, "exec format error"):
		return fmt.Errorf("%w: the image is made for another processor than this worker's program, which runs the relay inside: use an image for this machine", sandbox.ErrUnsupported)
	case strings.Contains(said, "no such file or directory"):
		return fmt.Errorf("%w: this worker's program cannot run inside the container: build it with CGO_ENABLED=0 (%s)", sandbox.ErrUnsupported, said)
	case said == "":
		return errors.New("it ended without a word")
	}
	return errors.New(said)
}
