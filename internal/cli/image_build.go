package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"oddish/internal/image"
	"oddish/internal/imagebuild"
)

func (a *App) imageBuildCommand() *cobra.Command {
	var o imagebuild.Options
	var tags, args []string
	asJSON := false
	cmd := &cobra.Command{
		Use:   "build PATH [flags]",
		Short: "Build the Dockerfile in a folder",
		Long: "Build the Dockerfile in a folder, or in the environment/ of a task, without a container engine, as builtin sandboxes do when a trial needs it. What it runs is run in " +
			"sandboxes. Instructions that were carried out before are not carried out again; what they say goes to standard error.",
		Example: "oddish image build tasks/my-task\noddish image build . --tag my-base:1 --build-arg VERSION=2",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, paths []string) error {
			var err error
			if o.Args, err = buildArgs(args); err != nil {
				return err
			}
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
	f.StringArrayVar(&args, "build-arg", nil, "`KEY=VALUE` of an ARG; may be repeated")
	f.BoolVar(&o.NoCache, "no-cache", false, "carry out every instruction again")
	f.BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

// buildContext is the folder that is meant: of a task, its environment.
func buildContext(dir string) string {
	if _, err := os.Stat(dir + "/Dockerfile"); err == nil {
		return dir
	}
	if _, err := os.Stat(dir + "/environment/Dockerfile"); err == nil {
		return dir + "/environment"
	}
	return dir
}

func buildArgs(list []string) (map[string]string, error) {
	args := map[string]string{}
	for _, kv := range list {
		key, value, both := strings.Cut(kv, "=")
		if key == "" || !both {
			return nil, usagef("--build-arg %q: want KEY=VALUE", kv)
		}
		args[key] = value
	}
	return args, nil
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
