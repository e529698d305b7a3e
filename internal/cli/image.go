package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oddish/internal/config"
	"oddish/internal/image"
	"oddish/internal/sandbox"
	"oddish/internal/sandbox/builtin"
	"oddish/internal/sandbox/docker"
)

func (a *App) imageCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "image",
		GroupID: groupServe,
		Short:   "Images of sandboxes on this machine",
		Long: "See to the images that sandboxes of this machine are made of: those of builtin sandboxes, and with --env docker those that were built or pulled for trials in the engine. They are " +
			"brought when a trial needs them, and stay until they are pruned, here or by the worker's bound ODDISH_KEEP_IMAGES. Credentials for registries are those of docker's configuration (~/.docker/config.json).",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.imageListCommand(), a.imagePullCommand(), a.imageLoadCommand(), a.imageBuildCommand(), a.imagePruneCommand())
	return cmd
}

// machine gives what sandboxes of this machine are made with.
func (a *App) machine() (machine, error) {
	cfg, err := a.config()
	if err != nil {
		return machine{}, err
	}
	dir, err := cfg.RequireDataDir()
	if err != nil {
		return machine{}, err
	}
	return machineOf(cfg, dir, a.logger(cfg)), prepareDataDir(dir)
}

// imageKeeper gives the provider of a kind that keeps images.
func (a *App) imageKeeper(ctx context.Context, kind string) (sandbox.ImageKeeper, error) {
	if kind != builtin.Kind && kind != docker.Kind {
		return nil, usagef("--env %s: want builtin or docker", kind)
	}
	m, err := a.machine()
	if err != nil {
		return nil, err
	}
	if kind == builtin.Kind {
		return newBuiltin(m) // whose images are there whether or not it can start sandboxes
	}
	p, err := newProvider(ctx, kind, m)
	if err != nil {
		return nil, err
	}
	return p.(sandbox.ImageKeeper), nil
}

// imageEnvFlag adds the flag for the kind of sandbox whose images are meant.
func imageEnvFlag(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("env", "e", builtin.Kind, "`KIND` of sandbox whose images are meant: builtin or docker")
}

func (a *App) imageStore() (*image.Store, error) {
	m, err := a.machine()
	if err != nil {
		return nil, err
	}
	return openImages(m)
}

func (a *App) imageListCommand() *cobra.Command {
	asJSON := false
	var env *string
	cmd := &cobra.Command{
		Use:     "list [flags]",
		Aliases: []string{"ls"},
		Short:   "List the images, the last used first",
		Example: "oddish image list --json\noddish image list --env docker",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keeper, err := a.imageKeeper(cmd.Context(), *env)
			if err != nil {
				return err
			}
			list, err := keeper.Images(cmd.Context())
			if err != nil {
				return err
			}
			return a.listImages(list, asJSON)
		},
	}
	env = imageEnvFlag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

// shownImage is an image in JSON.
type shownImage struct {
	Names    []string  `json:"names"`
	Digest   string    `json:"digest"`
	Platform string    `json:"platform"`
	Size     int64     `json:"size_bytes"`
	Used     time.Time `json:"used_at"`
}

func (a *App) listImages(list []sandbox.ImageInfo, asJSON bool) error {
	shown := []shownImage{}
	for _, l := range list {
		shown = append(shown, shownImage{nonNilNames(l.Names), l.Digest, l.Platform, l.Size, l.Used.UTC()})
	}
	if asJSON {
		return a.printJSON(map[string]any{"images": shown})
	}
	out := a.outPrinter()
	if len(shown) == 0 {
		out.line("there are no images: they are pulled when a trial needs them, or by `oddish image pull`")
		return nil
	}
	columns := []column{{title: "IMAGE", least: 20, middle: true}, {title: "DIGEST", least: 12}, {title: "SIZE", right: true}, {title: "USED"}}
	var rows [][]string
	for _, s := range shown {
		rows = append(rows, []string{fewNames(s.Names), shortDigest(s.Digest), sizeText(s.Size), s.Used.Local().Format("2006-01-02 15:04")})
	}
	out.line(renderTable(out.width, columns, rows))
	return nil
}

// fewNames fits a row: all names are in the JSON.
func fewNames(names []string) string {
	const most = 2
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

func nonNilNames(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}

// shortDigest is enough of a digest to tell images apart.
func shortDigest(digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return hex[:min(12, len(hex))]
}

func (a *App) imagePullCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "pull IMAGE...",
		Short:   "Pull images, or what has become of their tags",
		Example: "oddish image pull debian:bookworm-slim ghcr.io/org/task@sha256:…",
		Args:    someArgs("IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.bringImages(cmd.Context(), args, func(ctx context.Context, store *image.Store, name string) ([]image.Image, error) {
				img, err := store.Get(ctx, name, image.Options{Fresh: true})
				return []image.Image{img}, err
			})
		},
	}
}

func (a *App) imageLoadCommand() *cobra.Command {
	root := ""
	cmd := &cobra.Command{
		Use:   "load PATH...",
		Short: "Load images from archives of `docker save` or folders in the OCI layout",
		Long: "Load images from archives of `docker save` or folders in the layout of the OCI image specification, under the names that they have there. With --root, the " +
			"archive is of the files of a root file system, as `docker export` and debootstrap give them, and becomes an image of that name.",
		Example: "docker save my-image:1 -o my-image.tar && oddish image load my-image.tar",
		Args:    someArgs("PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if root != "" && len(args) > 1 {
				return usagef("--root names one image, and there are %d archives", len(args))
			}
			return a.bringImages(cmd.Context(), args, func(ctx context.Context, store *image.Store, path string) ([]image.Image, error) {
				if root != "" {
					img, err := store.LoadRoot(ctx, a.path(path), root)
					return []image.Image{img}, err
				}
				return store.Load(ctx, a.path(path))
			})
		},
	}
	cmd.Flags().StringVar(&root, "root", "", "`NAME` of an image that is made of the archive's files, such as my-base:1")
	return cmd
}

// bringImages brings images into the store, one argument after the other.
func (a *App) bringImages(ctx context.Context, args []string, bring func(context.Context, *image.Store, string) ([]image.Image, error)) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	store, err := a.imageStore()
	if err != nil {
		return err
	}
	for _, arg := range args {
		images, err := bring(ctx, store, arg)
		if err != nil {
			return failf("", "%v", err)
		}
		for _, img := range images {
			a.outPrinter().line(fmt.Sprintf("%s  %s  %s", arg, img.Digest, sizeText(img.Size)))
		}
	}
	return nil
}

// someArgs wants at least one argument.
func someArgs(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("%s wants at least one %s", cmd.CommandPath(), name)
		}
		return nil
	}
}

func (a *App) imagePruneCommand() *cobra.Command {
	keep := "0"
	var env *string
	cmd := &cobra.Command{
		Use:   "prune [flags]",
		Short: "Remove images, the longest unused first",
		Long: "Remove images, the longest unused first, until those that are left have at most so many bytes together, each counted whole although they share " +
			"what they have in common. Images of running sandboxes stay. With --env docker, those are removed that were built for tasks, and those that were pulled for trials of this data directory; no others of the engine.",
		Example: "oddish image prune --keep 20gb\noddish image prune --env docker --keep 50gb",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			most, err := config.ParseSize(keep)
			if err != nil {
				return usagef("--keep %q: %v", keep, err)
			}
			return a.pruneImages(cmd.Context(), *env, most)
		},
	}
	env = imageEnvFlag(cmd)
	cmd.Flags().StringVar(&keep, "keep", keep, "`SIZE`: bytes to keep, such as 500mb or 20gb")
	return cmd
}

func (a *App) pruneImages(ctx context.Context, env string, keep int64) error {
	keeper, err := a.imageKeeper(ctx, env)
	if err != nil {
		return err
	}
	removed, err := keeper.PruneImages(ctx, keep, time.Now())
	for _, l := range removed {
		a.outPrinter().line("removed " + firstNonEmpty(strings.Join(l.Names, ", "), l.Digest) + "  " + sizeText(l.Size))
	}
	if err == nil && len(removed) == 0 {
		a.outPrinter().line("nothing to remove")
	}
	return err
}
