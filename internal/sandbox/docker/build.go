package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/client"
	"github.com/moby/patternmatcher"

	"oddish/internal/dockerfile"
	"oddish/internal/sandbox"
	"oddish/internal/tarball"
)

// imageTag is the name under which the image of a build context is kept.
func imageTag(digest string) string { return "oddish/task:" + digest }

// buildOutputTail is how much of a failed build's output its error quotes, in bytes.
const buildOutputTail = 2000

// build builds the Dockerfile in img.Context unless an image of the same digest is there.
// The builder is the engine's own, see builder; what it says goes to out.
func (p *Provider) build(ctx context.Context, tag string, img sandbox.Image, out io.Writer) error {
	if !img.ForceBuild {
		if has, err := p.isBuilt(ctx, tag); has || err != nil {
			return err
		}
	}
	if err := p.builds.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("wait for other image builds: %w", err)
	}
	defer p.builds.Release(1)

	text, err := os.ReadFile(filepath.Join(img.Context, "Dockerfile"))
	if err != nil {
		return fmt.Errorf("%w: %w", sandbox.ErrBuild, err)
	}
	engine, err := p.ask(ctx)
	if err != nil {
		return err
	}
	lacking, err := p.bases(ctx, text)
	if err != nil {
		return err
	}
	err = p.run(ctx, engine.builder(text), tag, img, out)
	p.noteBases(ctx, lacking)
	switch {
	case err == nil:
		_, err = p.isBuilt(ctx, tag)
		return err
	case errors.Is(err, sandbox.ErrBuild):
		return engine.tooNew(text, err)
	case cerrdefs.IsInvalidArgument(err): // the Dockerfile has no meaning
		return engine.tooNew(text, fmt.Errorf("%w: %s: %w", sandbox.ErrBuild, img.Context, err))
	}
	return fmt.Errorf("build image of %s: %w", img.Context, err)
}

// run sends the context to the engine and waits for the build.
func (p *Provider) run(ctx context.Context, version build.BuilderVersion, tag string, img sandbox.Image, out io.Writer) error {
	include, err := ignoring(img.Context)
	if err != nil {
		return fmt.Errorf("%w: %w", sandbox.ErrBuild, err)
	}
	p.log.Info("building image", "image", tag, "builder", version)
	pr, pw := io.Pipe()
	go func() { pw.CloseWithError(tarball.Pack(pw, img.Context, tarball.PackOptions{Include: include})) }()
	defer pr.Close()
	o := client.ImageBuildOptions{
		Tags: []string{tag}, Labels: map[string]string{labelDigest: img.Digest}, NoCache: img.ForceBuild, Remove: true, ForceRemove: true,
	}
	if version == build.BuilderBuildKit {
		return p.buildKit(ctx, pr, o, out)
	}
	return p.buildClassic(ctx, pr, o, out)
}

// isBuilt reports whether the image of that tag is there, to be used now. One for other machines is ErrBuild.
func (p *Provider) isBuilt(ctx context.Context, tag string) (bool, error) {
	image, err := p.inspect(ctx, tag)
	if image == nil || err != nil {
		return false, err
	}
	p.noted(p.ledger.note(entry{Name: tag}))
	return true, p.checkPlatform(ctx, tag, image, "take the platform out of the FROM lines of its Dockerfile, or build from images for that")
}

// buildClassic builds a context with the builder that engines had before BuildKit.
func (p *Provider) buildClassic(ctx context.Context, files io.Reader, o client.ImageBuildOptions, out io.Writer) error {
	o.Version = build.BuilderV1
	resp, err := p.engine.ImageBuild(ctx, files, o)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return buildResult(resp.Body, out)
}

// buildResult reads a build's messages to the end and writes to out what they say. A step that fails is ErrBuild, with the
// end of the output, unless what failed was the network.
func buildResult(messages io.Reader, out io.Writer) error {
	output := &sandbox.Tail{Most: buildOutputTail}
	out = io.MultiWriter(out, output)
	var trace buildTrace
	dec := json.NewDecoder(messages)
	for {
		var m struct {
			ID     string          `json:"id"`
			Stream string          `json:"stream"`
			Aux    json.RawMessage `json:"aux"`
			Error  string          `json:"error"`
		}
		err := dec.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the engine's build messages: %w", err)
		case m.Error != "":
			failed := errors.New(m.Error)
			if networkTrouble(failed) {
				return fmt.Errorf("build image: %w", failed)
			}
			_, _ = fmt.Fprintln(out, m.Error)
			return fmt.Errorf("%w: %w\n%s", sandbox.ErrBuild, failed, output.Data)
		}
		said := m.Stream
		if message := []byte(nil); m.ID == buildKitTrace && json.Unmarshal(m.Aux, &message) == nil {
			said = trace.read(message)
		}
		_, _ = io.WriteString(out, said) // neither fails
	}
}

// ignoring is the filter of a build context's .dockerignore, or nil without one.
// The Dockerfile and .dockerignore themselves are always sent: the engine reads them.
func ignoring(dir string) (func(rel string, isDir bool) bool, error) {
	f, err := os.Open(filepath.Join(dir, ".dockerignore"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	matcher, err := dockerfile.Ignore(f)
	if err != nil {
		return nil, fmt.Errorf(".dockerignore: %w", err)
	}
	return func(rel string, isDir bool) bool {
		if rel == "Dockerfile" || rel == ".dockerignore" {
			return true
		}
		ignored, err := matcher.MatchesOrParentMatches(rel)
		return err != nil || !ignored || isDir && takenBack(matcher, rel)
	}, nil
}

// takenBack reports whether a pattern takes back something in an ignored folder, so that it is walked all the same.
func takenBack(matcher *patternmatcher.PatternMatcher, dir string) bool {
	for _, p := range matcher.Patterns() {
		if p.Exclusion() && strings.HasPrefix(p.String()+"/", dir+"/") {
			return true
		}
	}
	return false
}
