package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"oddish/internal/sandbox"
	"oddish/internal/tarball"
)

func (a *App) sandboxCopyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "cp SOURCE TARGET", Short: "Copy files out of a sandbox or into it",
		Long: "Copy a file or a folder between this machine and a sandbox; one of the two is SANDBOX:/PATH or TRIAL:/PATH. A folder's content comes into the target folder, a file into the target if that is " +
			"a folder, else under its name. Links and what is no file stay behind on the way out.",
		Example: "oddish sandbox cp hello-world-1a2b3c4d-0:/app ./app\noddish sandbox cp fix.py hello-world-1a2b3c4d-0:/app",
		Args:    exactArgs("SOURCE", "TARGET"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.sandboxCopy(cmd.Context(), args[0], args[1]) },
	}
}

// inBox cuts BOX:/PATH.
func inBox(s string) (box, inside string, ok bool) {
	box, inside, ok = strings.Cut(s, ":")
	return box, inside, ok && box != "" && strings.HasPrefix(inside, "/") && !strings.Contains(box, "/")
}

func (a *App) sandboxCopy(ctx context.Context, source, target string) error {
	from, fromPath, out := inBox(source)
	to, toPath, in := inBox(target)
	if out == in {
		return usagef("want one of both as SANDBOX:/PATH or TRIAL:/PATH, with a whole path")
	}
	name := from
	if in {
		name = to
	}
	b, err := a.findBox(ctx, name)
	if err != nil {
		return err
	}
	box, err := b.attach(ctx)
	if err != nil {
		return err
	}
	if out {
		return a.copyOut(ctx, box, fromPath, a.path(target))
	}
	return copyIn(ctx, box, a.path(source), toPath)
}

// copyOut brings a path of the sandbox to this machine. It is unpacked like everything that an agent made: without links, and inside the target.
func (a *App) copyOut(ctx context.Context, box sandbox.Sandbox, from, to string) error {
	// Whether it is a folder tells what the names in the archive mean.
	code, err := box.Exec(ctx, sandbox.Command{Label: "is-dir", Script: `[ -d "$ODDISH_PATH" ]`, Env: map[string]string{"ODDISH_PATH": from}, Dir: "/", User: "0"})
	if err != nil {
		return err
	}
	info, statErr := os.Stat(to)
	isDir := statErr == nil && info.IsDir()
	rename := ""
	if code != 0 && !isDir { // a file that gets another name
		rename, to = filepath.Base(to), filepath.Dir(to)
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(to, ".oddish-cp-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	report, err := download(ctx, box, from, temp)
	if errors.Is(err, sandbox.ErrNotFound) {
		return failf("", "there is no %s in the sandbox", from)
	}
	if err != nil {
		return err
	}
	for _, s := range report.Skipped {
		a.warn("left behind: %s", shownName(s.String()))
	}
	return place(temp, to, rename)
}

func download(ctx context.Context, box sandbox.Sandbox, from, to string) (tarball.Report, error) {
	r, w := io.Pipe()
	defer r.Close()
	failed := make(chan error, 1)
	go func() {
		err := box.Download(ctx, from, w)
		w.CloseWithError(err)
		failed <- err
	}()
	report, err := tarball.Unpack(r, to, tarball.UnpackOptions{Lenient: true})
	r.CloseWithError(err)
	if downErr := <-failed; downErr != nil && !errors.Is(downErr, io.ErrClosedPipe) {
		return report, downErr
	}
	return report, err
}

// place moves what is in temp to the folder, over what is there; a single file gets another name if one is given.
func place(temp, to, rename string) error {
	if rename != "" {
		entries, err := os.ReadDir(temp)
		if err != nil || len(entries) != 1 {
			return errors.Join(err, fmt.Errorf("it is no file that can be copied"))
		}
		return os.Rename(filepath.Join(temp, entries[0].Name()), filepath.Join(to, rename))
	}
	return filepath.WalkDir(temp, func(name string, d os.DirEntry, err error) error {
		rel, relErr := filepath.Rel(temp, name)
		if err = errors.Join(err, relErr); err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		return os.Rename(name, filepath.Join(to, rel))
	})
}

// copyIn puts a file or the content of a folder into a folder of the sandbox; a file gets the name that stands where no folder is.
func copyIn(ctx context.Context, box sandbox.Sandbox, from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	defer r.Close()
	if info.IsDir() {
		go func() { w.CloseWithError(tarball.Pack(w, from, tarball.PackOptions{})) }()
		return box.Upload(ctx, to, r)
	}
	code, err := box.Exec(ctx, sandbox.Command{Label: "is-dir", Script: `[ -d "$ODDISH_PATH" ]`, Env: map[string]string{"ODDISH_PATH": to}, Dir: "/", User: "0"})
	if err != nil {
		return err
	}
	dir, name := to, filepath.Base(from)
	if code != 0 && !strings.HasSuffix(to, "/") {
		dir, name = path.Dir(to), path.Base(to)
	}
	go func() { w.CloseWithError(tarball.PackFile(w, from, name)) }()
	return box.Upload(ctx, dir, r)
}
