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
)

// What the engine's BuildKit wants of a context that is sent to it: a build that names uploadRemote as its context, and a second request
// with the same id behind that name, whose body is the context. No session is needed for it. (Engine API, POST /build, since 1.39.)
const (
	uploadRemote  = "upload-request"
	buildKitTrace = "moby.buildkit.trace"
)

// builder chooses BuildKit where the engine recommends it or the Dockerfile needs it. All engines that are new enough for Check have it; podman has one builder, which
// is asked for as the classic one.
func (t *traits) builder(text []byte) build.BuilderVersion {
	if _, _, needs := dockerfile.NeedsBuildKit(text); !t.podman && (needs || t.wantsBuildKit) {
		return build.BuilderBuildKit
	}
	return build.BuilderV1
}

// tooNew tells what in a Dockerfile may be newer than the engine's builder, where that has not understood it.
func (t *traits) tooNew(text []byte, err error) error {
	what, line, needs := dockerfile.NeedsBuildKit(text)
	if !needs || !saysAny(err, "nknown instruction", "nknown flag", "nknown type", "nexpected key", "arse error") {
		return err
	}
	return fmt.Errorf("%w\n(Dockerfile:%d: %s may be newer than the builder of this engine, which is of version %s: update it, or begin the Dockerfile with `# syntax=docker/dockerfile:1` "+
		"where the engine can pull that, or use --env builtin)", err, line, what, t.version)
}

// buildKit builds a context, which it reads to its end, with BuildKit.
func (p *Provider) buildKit(ctx context.Context, files io.Reader, o client.ImageBuildOptions, out io.Writer) error {
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
		err = buildResult(resp.Body, out)
		_ = resp.Body.Close() // read to its end, or given up
	}
	cancel()
	if sendErr := <-sent; err != nil && sendErr != nil && !errors.Is(sendErr, context.Canceled) {
		return fmt.Errorf("send the build context: %w", sendErr)
	}
	return err
}

// buildTrace reads messages of BuildKit's, StatusResponse in its api/services/control/control.proto.
type buildTrace struct {
	told map[string]bool // digests of steps
}

// read gives the names (3) of the steps (1) that a message is the first to tell of as begun (5), and what programs said: the field msg (4) of each
// log (3). What it does not understand it leaves out.
func (t *buildTrace) read(message []byte) string {
	var said strings.Builder
	eachField(message, 1, func(step []byte) {
		var digest, name string
		eachField(step, 1, func(v []byte) { digest = string(v) })
		eachField(step, 3, func(v []byte) { name = string(v) })
		begun := false
		eachField(step, 5, func([]byte) { begun = true })
		if t.told[digest] || !begun {
			return
		}
		if t.told == nil {
			t.told = map[string]bool{}
		}
		t.told[digest] = true
		fmt.Fprintln(&said, "=>", name)
	})
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
