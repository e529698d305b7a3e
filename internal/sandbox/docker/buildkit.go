package docker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/client"
	"google.golang.org/protobuf/encoding/protowire"

	"oddish/internal/dockerfile"
	"oddish/internal/sandbox"
)

// What the engine's BuildKit wants of a context that is sent to it: a build that names uploadRemote as its context, and a second request
// with the same id behind that name, whose body is the context. No session is needed for it. (Engine API, POST /build, since 1.39.)
const (
	uploadRemote  = "upload-request"
	buildKitSince = "1.39"
	buildKitTrace = "moby.buildkit.trace"
)

// builder chooses BuildKit where the engine recommends it, or the Dockerfile needs it and the engine has it. A Dockerfile that needs what it has not is ErrBuild.
func (p *Provider) builder(ctx context.Context, text []byte) (build.BuilderVersion, error) {
	engine, err := p.ask(ctx)
	if err != nil {
		return "", err
	}
	what, line, needs := dockerfile.NeedsBuildKit(text)
	switch {
	case engine.wantsBuildKit || engine.buildKit && needs:
		return build.BuilderBuildKit, nil
	case needs:
		return "", fmt.Errorf("%w: Dockerfile:%d: %s needs BuildKit, which the engine is too old for: update it (Docker 18.09 or newer has it), or use --env builtin",
			sandbox.ErrBuild, line, what)
	}
	return build.BuilderV1, nil
}

// buildKit builds a context, which it reads to its end, with BuildKit.
func (p *Provider) buildKit(ctx context.Context, files io.Reader, o client.ImageBuildOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	id := rand.Text()
	sent := make(chan error, 1)
	go func() {
		resp, err := p.engine.ImageBuild(ctx, files, client.ImageBuildOptions{Version: build.BuilderBuildKit, BuildID: uploadRemote + ":" + id})
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			err = errors.Join(err, resp.Body.Close())
		}
		if err != nil {
			cancel() // nobody would bring the context
		}
		sent <- err
	}()
	o.Version, o.RemoteContext, o.BuildID = build.BuilderBuildKit, uploadRemote, id
	resp, err := p.engine.ImageBuild(ctx, http.NoBody, o)
	if err == nil {
		err = buildResult(resp.Body)
		_ = resp.Body.Close() // read to its end, or given up
	}
	cancel()
	if sendErr := <-sent; err != nil && sendErr != nil && !errors.Is(sendErr, context.Canceled) {
		return fmt.Errorf("send the build context: %w", sendErr)
	}
	return err
}

// traceLogs takes what programs said out of a message of BuildKit's: the field msg (4) of each log (3) of a StatusResponse, see BuildKit's
// api/services/control/control.proto. What it does not understand it leaves out.
func traceLogs(message []byte) string {
	var said strings.Builder
	eachField(message, 3, func(log []byte) {
		eachField(log, 4, func(text []byte) { said.Write(text) })
	})
	return said.String()
}

// eachField calls fn with each value of a field of bytes in an encoded message.
func eachField(message []byte, number protowire.Number, fn func([]byte)) {
	for len(message) > 0 {
		num, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return
		}
		message = message[n:]
		if num == number && kind == protowire.BytesType {
			value, n := protowire.ConsumeBytes(message)
			if n < 0 {
				return
			}
			fn(value)
			message = message[n:]
			continue
		}
		if n = protowire.ConsumeFieldValue(num, kind, message); n < 0 {
			return
		}
		message = message[n:]
	}
}
