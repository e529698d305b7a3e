package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"oddish/internal/image"
	"oddish/internal/imagebuild"
	"oddish/internal/task"
)

func (a *App) imageBuildCommand() *cobra.Command {
	var o imagebuild.Options
	var tags []string
	args := pairs{}
	asJSON := false
	cmd := &cobra.Command{
		Use:   "build PATH [flags]",
		Short: "Build the Dockerfile in a folder",
		Long: "Build the Dockerfile in a folder, or in the environment/ of a task, without a container engine, as builtin sandboxes do when a trial needs it. What it runs is run in " +
			"sandboxes. Instructions that were carried out before are not carried out again; what they say goes to standard error.",
		Example: "oddish image build tasks/my-task\noddish image build . --tag my-base:1 --build-arg VERSION=2",
		Args:    exactArgs("PATH"),
		RunE: func(cmd *cobra.Command, paths []string) error {
			o.Args = args
			for _, tag := range tags {
				key, err := image.NameKey(tag)
				if err != nil {
					return usagef("--tag: %v", err)
				}
				o.Names = append(o.Names, key)
			}
			o.Context = buildContext(a.path(paths[0]))
			return a.buildImage(cmd.Context(), o, tags, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Dockerfile, "file", "f", "", "`PATH` of the Dockerfile (default: Dockerfile in the folder)")
	f.StringArrayVarP(&tags, "tag", "t", nil, "`NAME[:TAG]` that the image gets, by which tasks can have it as docker_image; may be repeated")
	f.Var(args, "build-arg", "`KEY=VALUE` of an ARG; may be repeated")
	f.BoolVar(&o.NoCache, "no-cache", false, "carry out every instruction again")
	f.BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

// buildContext is the folder that is meant: of a task, its environment.
func buildContext(dir string) string {
	environment := filepath.Join(dir, task.EnvironmentDir)
	for _, folder := range []string{dir, environment} {
		if _, err := os.Stat(filepath.Join(folder, task.Dockerfile)); err == nil {
			return folder
		}
	}
	return dir
}

func (a *App) buildImage(ctx context.Context, o imagebuild.Options, tags []string, asJSON bool) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	m, err := a.machine()
	if err != nil {
		return err
	}
	p, err := newBuiltin(m)
	if err != nil {
		return err
	}
	if err := p.Check(ctx); err != nil {
		return failf("", "images cannot be built here: %v", err)
	}
	if o.Dockerfile != "" {
		o.Dockerfile = a.path(o.Dockerfile)
	}
	o.Output = a.Stderr
	img, err := p.Builder().Build(ctx, o)
	if err != nil {
		return failf("", "%v", err)
	}
	if asJSON {
		return a.printJSON(shownImage{nonNilNames(tags), img.Digest, img.Platform, img.Size, img.Created})
	}
	a.outPrinter().line(fmt.Sprintf("%s  %s  %s", firstNonEmpty(strings.Join(tags, ", "), o.Context), img.Digest, sizeText(img.Size)))
	return nil
}
