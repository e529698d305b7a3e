package imagebuild

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"oddish/internal/dockerfile"
	"oddish/internal/image"
)

// stage is a stage as far as it is done.
type stage struct {
	*project
	number int
	chain  string
	config v1.Config
	vars   *variables
}

// image is what the stage has become.
func (s *stage) image() (image.Image, error) {
	config, err := json.Marshal(s.config)
	if err != nil {
		return image.Image{}, err
	}
	img := image.Image{Digest: image.Digest("build " + s.chain + " " + string(config)), Chain: s.chain, Config: s.config, Platform: image.Platform()}
	img.Root, err = s.Store.Root(s.chain)
	return img, err
}

// stage carries out a stage and those that it needs, unless it is done.
func (p *project) stage(ctx context.Context, number int) (*stage, error) {
	if s := p.stages[number]; s != nil {
		return s, nil
	}
	from := &p.file.Stages[number]
	s, err := p.begin(ctx, number, from)
	if err != nil {
		return nil, p.wrong(from, err)
	}
	triggers, err := dockerfile.Triggers(from.BaseName, s.config.OnBuild)
	if err != nil {
		return nil, failed(err)
	}
	s.config.OnBuild = nil
	for _, c := range append(triggers, from.Commands...) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := s.do(ctx, c); err != nil {
			return nil, s.place(c, err)
		}
	}
	p.stages[number] = s
	return s, nil
}

// begin makes a stage of what its FROM names: an earlier stage, nothing, or an image.
func (p *project) begin(ctx context.Context, number int, from *instructions.Stage) (*stage, error) {
	base, err := p.global.expand(from.BaseName)
	if err != nil {
		return nil, failed(err)
	}
	if base == "" {
		return nil, failedf("FROM %s names nothing: its arguments are empty", from.BaseName)
	}
	s := &stage{project: p, number: number}
	if earlier, is := instructions.HasStage(p.file.Stages[:number], base); is {
		done, err := p.stage(ctx, earlier)
		if err != nil {
			return nil, err
		}
		s.chain, s.config = done.chain, *done.config.DeepCopy()
		s.vars = p.global.inStage(s.config.Env)
		return s, nil
	}
	platform, err := p.global.expand(from.Platform)
	if err != nil {
		return nil, failed(err)
	}
	img, err := p.base(ctx, base, platform)
	if err != nil {
		return nil, err
	}
	s.chain, s.config = img.Chain, img.Config
	s.vars = p.global.inStage(s.config.Env)
	return s, nil
}

// scratch is the name of the image without files.
const scratch = "scratch"

// base gives the image of a FROM, or of a --from that is no stage.
func (p *project) base(ctx context.Context, reference, platform string) (image.Image, error) {
	if reference == scratch {
		empty := image.Digest("scratch")
		err := p.Store.Extend(ctx, "", empty, (&layer{}).stream)
		return image.Image{Chain: empty, Platform: image.Platform()}, err
	}
	p.out.say("image %s", reference)
	img, err := p.Store.Get(ctx, reference, image.Options{Platform: platform})
	if errors.Is(err, image.ErrUnusable) {
		err = failed(err)
	}
	return img, err
}

// named gives the files of a --from: a stage by name or number, or an image.
func (s *stage) named(ctx context.Context, from string) (*source, error) {
	number, is := instructions.HasStage(s.file.Stages, from)
	if !is {
		if n, err := strconv.Atoi(from); err == nil {
			number, is = n, n >= 0 && n < len(s.file.Stages)
		}
	}
	if is && number >= s.number {
		return nil, failedf("stage %s comes later, or is this one", from)
	}
	if is {
		done, err := s.project.stage(ctx, number)
		if err != nil {
			return nil, err
		}
		return s.tree(done.chain, from)
	}
	if _, err := name.ParseReference(from); err != nil {
		return nil, failedf("there is no stage %q, and no image can have that name", from)
	}
	img, err := s.base(ctx, from, "")
	if err != nil {
		return nil, err
	}
	return s.tree(img.Chain, from)
}

// tree gives the files of a stage or an image.
func (s *stage) tree(chain, what string) (*source, error) {
	root, err := s.Store.Root(chain)
	if err != nil {
		return nil, err
	}
	return openRoot(root, chain, what)
}

// do carries out an instruction.
func (s *stage) do(ctx context.Context, c instructions.Command) error {
	if err := s.vars.expandAll(c); err != nil {
		return failed(err)
	}
	switch c := c.(type) {
	case *instructions.RunCommand:
		return s.run(ctx, c)
	case *instructions.CopyCommand:
		return s.copy(ctx, c)
	case *instructions.AddCommand:
		return s.add(ctx, c)
	case *instructions.WorkdirCommand:
		return s.workdir(ctx, c)
	case *instructions.ArgCommand:
		s.vars.declare(c, s.Args, s.global)
		return nil
	}
	return failed(s.configure(c))
}

// workdir changes the working directory, which is made if it is missing.
func (s *stage) workdir(ctx context.Context, c *instructions.WorkdirCommand) error {
	s.config.WorkingDir = s.absolute(c.Path)
	s.out.step(s.file, c, "")
	return s.makeDirs(ctx, s.config.WorkingDir)
}

// absolute is a path seen from the working directory.
func (s *stage) absolute(name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join("/", s.config.WorkingDir, name)
}

// makeDirs makes the folders that are missing.
func (s *stage) makeDirs(ctx context.Context, dirs ...string) error {
	root, err := s.Store.Root(s.chain)
	if err != nil {
		return err
	}
	var missing []string
	for _, dir := range dirs {
		if _, err := image.Resolve(root, dir); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, dir)
		} else if err != nil {
			return failedf("look at %s: %w", dir, err)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	l := &layer{}
	for _, dir := range missing {
		l.dir(dir, owner{})
	}
	return s.lay(ctx, "mkdir "+strings.Join(missing, "\n"), l.stream)
}

// extend lays the layer of an instruction over the stage. key is all that its content depends on, beside the stage so far.
func (s *stage) extend(ctx context.Context, c instructions.Command, key string, layer image.Stream) error {
	how := ""
	if _, err := s.Store.Root(s.next(key)); err == nil {
		how = "cached"
	}
	s.out.step(s.file, c, how)
	return s.lay(ctx, key, layer)
}

// lay is extend without a word.
func (s *stage) lay(ctx context.Context, key string, layer image.Stream) error {
	next := s.next(key)
	if _, err := s.Store.Root(next); err != nil {
		if err := s.Store.Extend(ctx, s.chain, next, layer); err != nil {
			return err
		}
	}
	s.chain = next
	return nil
}

// next names the chain that a step of that key makes of the stage.
func (s *stage) next(key string) string {
	return image.Digest("build step\x00" + s.salt + "\x00" + s.chain + "\x00" + key)
}

// place gives an error the place of its instruction. One of a stage that was needed has its own.
func (s *stage) place(c instructions.Command, err error) error {
	return placed(err, func(err error) error { return s.file.At(c, err) })
}

// wrong is place for a FROM.
func (p *project) wrong(from *instructions.Stage, err error) error {
	return placed(err, func(err error) error { return p.file.AtStage(from, err) })
}

func placed(err error, at func(error) error) error {
	var has *dockerfile.Error
	if errors.As(err, &has) || !errors.Is(err, ErrFailed) {
		return err
	}
	return &failure{at(err)}
}
