package docker

import (
	"bytes"
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
// The builder is the engine's own, see builder.
func (p *Provider) build(ctx context.Context, tag string, img sandbox.Image) error {
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
	include, err := ignoring(img.Context)
	if err != nil {
		return fmt.Errorf("%w: %w", sandbox.ErrBuild, err)
	}
	version, err := p.builder(ctx, text)
	if err != nil {
		return err
	}
	lacking, err := p.bases(ctx, text)
	if err != nil {
		return err
	}
	p.log.Info("building image", "image", tag, "builder", version)
	pr, pw := io.Pipe()
	go func() { pw.CloseWithError(tarball.Pack(pw, img.Context, tarball.PackOptions{Include: include})) }()
	defer pr.Close()
	o := client.ImageBuildOptions{
		Tags: []string{tag}, Labels: map[string]string{labelDigest: img.Digest}, NoCache: img.ForceBuild, Remove: true, ForceRemove: true,
	}
	run := p.buildClassic
	if version == build.BuilderBuildKit {
		run = p.buildKit
	}
	err = run(ctx, pr, o)
	p.noteBases(ctx, lacking)
	switch {
	case err == nil:
		p.noted(p.ledger.note(entry{Name: tag}))
		return nil
	case errors.Is(err, sandbox.ErrBuild):
		return err
	case cerrdefs.IsInvalidArgument(err): // the Dockerfile has no meaning
		return fmt.Errorf("%w: %s: %w", sandbox.ErrBuild, img.Context, err)
	}
	return fmt.Errorf("build image of %s: %w", img.Context, err)
}

// isBuilt reports whether the image of that tag is there, to be used now.
func (p *Provider) isBuilt(ctx context.Context, tag string) (bool, error) {
	has, err := p.present(ctx, tag)
	if has {
		p.noted(p.ledger.note(entry{Name: tag}))
	}
	return has, err
}

// buildClassic builds a context with the builder that engines had before BuildKit.
func (p *Provider) buildClassic(ctx context.Context, files io.Reader, o client.ImageBuildOptions) error {
	o.Version = build.BuilderV1
	resp, err := p.engine.ImageBuild(ctx, files, o)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return buildResult(resp.Body)
}

// buildResult reads a build's messages to the end. A step that fails is ErrBuild, with the
// end of the output, unless what failed was the network.
func buildResult(messages io.Reader) error {
	var output tail
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
			return fmt.Errorf("%w: %w\n%s", sandbox.ErrBuild, failed, output.String())
		}
		output.WriteString(m.Stream)
		if trace := []byte(nil); m.ID == buildKitTrace && json.Unmarshal(m.Aux, &trace) == nil {
			output.WriteString(traceLogs(trace))
		}
	}
}

// tail keeps the last buildOutputTail bytes written to it.
type tail struct{ buf bytes.Buffer }

func (t *tail) WriteString(s string) {
	t.buf.WriteString(s)
	if over := t.buf.Len() - buildOutputTail; over > 0 {
		t.buf.Next(over)
	}
}

func (t *tail) String() string { return t.buf.String() }

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
