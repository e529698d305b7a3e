// Package imagebuild makes images of Dockerfiles, without a container engine. What a RUN does happens in a sandbox, which a
// Runner gives; all else is done to files of this machine, none of which is run.
//
// Every instruction that changes files makes a chain of the image store out of the one before, so that a build which was made before,
// or broke off, goes on from the last instruction that is the same. The key of an instruction is what it depends on: the files
// below it, its text, the variables in force, and the content of what it copies.
package imagebuild

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"oddish/internal/dockerfile"
	"oddish/internal/image"
)

// ErrFailed: the Dockerfile, or what it runs, is wrong. Another try brings nothing.
var ErrFailed = errors.New("image cannot be built")

// Runner runs the command of a RUN.
type Runner interface {
	// Run runs a command over an image, and gives its exit status and, if that is 0, what it changed of the root file system: a layer as
	// image.Store.Extend takes it, which the caller closes. Its error is this machine's trouble, not the command's.
	Run(ctx context.Context, img image.Image, c Command) (exit int, changes io.ReadCloser, err error)
}

// Command is what a RUN runs.
type Command struct {
	Argv []string
	Env  map[string]string // beside the image's
	Dir  string
	User string // name or number, with :group; empty: root
	// NoNetwork: it has none but loopback.
	NoNetwork bool
	Mounts    []Mount
	Output    io.Writer // of both streams
}

// ScratchDir is a folder of the Runner's, in which targets of mounts need not be there.
const ScratchDir = "/oddish/build"

// Mount shows a folder of this machine to a command, or an empty file system in memory.
type Mount struct {
	Source   string // folder or file; empty: a file system in memory
	Target   string // absolute; it is there, unless it is in ScratchDir
	Writable bool
}

// Builder makes images. It is safe for concurrent use.
type Builder struct {
	Store  *image.Store
	Runner Runner
}

// Options of a build.
type Options struct {
	// Context is the folder that COPY and ADD take files from.
	Context string
	// Dockerfile is a path; empty: Dockerfile in the context.
	Dockerfile string
	// Args are values of ARG instructions.
	Args map[string]string
	// NoCache carries out every instruction again.
	NoCache bool
	// Output takes what is done, and what commands say; nil discards it.
	Output io.Writer
	// Names that the image gets, as image.NameKey gives them.
	Names []string
}

// Build makes an image. ErrFailed if what it is made of is wrong, with the place, and the end of the output of the command that failed.
func (b *Builder) Build(ctx context.Context, o Options) (image.Image, error) {
	p, err := b.prepare(o)
	if err != nil {
		return image.Image{}, err
	}
	defer p.close()
	last, err := p.stage(ctx, len(p.file.Stages)-1)
	if err != nil {
		return image.Image{}, err
	}
	img, err := last.image()
	if err != nil {
		return image.Image{}, err
	}
	if img.Size, err = b.Store.Measure(img.Chain); err != nil {
		return image.Image{}, fmt.Errorf("measure the image: %w", err)
	}
	return b.Store.Put(img, o.Names...)
}

// project is one build under way.
type project struct {
	*Builder
	Options
	file   *dockerfile.File
	files  *source // the context
	global *variables
	stages map[int]*stage // that are done
	salt   string         // other in each build without cache
	out    *log
}

// prepare reads what is to be built.
func (b *Builder) prepare(o Options) (*project, error) {
	path := o.Dockerfile
	if path == "" {
		path = filepath.Join(o.Context, "Dockerfile")
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, failedf("there is no %s", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the Dockerfile: %w", err)
	}
	f, err := dockerfile.Parse(filepath.Base(path), bytes.NewReader(data))
	if err != nil {
		return nil, failed(err)
	}
	files, err := openContext(o.Context, filepath.Base(path))
	if err != nil {
		return nil, err
	}
	p := &project{Builder: b, Options: o, file: f, files: files, stages: map[int]*stage{}, out: &log{to: o.Output}}
	if o.NoCache {
		p.salt = rand.Text()
	}
	if p.global, err = p.globals(); err != nil {
		files.close()
		return nil, failed(err)
	}
	return p, nil
}

func (p *project) close() { p.files.close() }

// failure is an error that another try does not mend.
type failure struct{ err error }

func (f *failure) Error() string        { return f.err.Error() }
func (f *failure) Unwrap() error        { return f.err }
func (f *failure) Is(target error) bool { return target == ErrFailed }

// failed marks an error as one that another try does not mend.
func failed(err error) error {
	if err == nil || errors.Is(err, ErrFailed) {
		return err
	}
	return &failure{err}
}

func failedf(format string, args ...any) error { return &failure{fmt.Errorf(format, args...)} }
