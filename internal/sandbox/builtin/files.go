//go:build linux && (amd64 || arm64)

package builtin

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path"
	"strings"

	"oddish/internal/sandbox"
)

// exitMissing is the status of the download script for a path that does not exist.
const exitMissing = 44

// Upload extracts a tar stream by the sandbox's own tar, as root, so that nothing in
// the stream can reach this machine.
func (s *box) Upload(ctx context.Context, dst string, tar io.Reader) error {
	if !path.IsAbs(dst) {
		return fmt.Errorf("upload to %q in sandbox %s: not an absolute path", dst, s.ID())
	}
	var errs tail
	code, err := s.Exec(ctx, sandbox.Command{
		Label:  "upload",
		Script: `mkdir -p -- "$D" && exec tar -x -p -o -f - -C "$D"`,
		Env:    map[string]string{"D": path.Clean(dst)},
		Dir:    "/",
		User:   "0",
		Stdin:  tar,
		Stderr: &errs,
	})
	if err == nil && code != 0 {
		err = fmt.Errorf("tar ended with status %d: %s", code, &errs)
	}
	if err != nil {
		return fmt.Errorf("upload to %s: %w", dst, err)
	}
	return nil
}

// Download packs by the sandbox's own tar. What comes is as trustworthy as the
// sandbox: unpack it with package tarball.
func (s *box) Download(ctx context.Context, src string, tar io.Writer) error {
	if !path.IsAbs(src) {
		return fmt.Errorf("download %q from sandbox %s: not an absolute path", src, s.ID())
	}
	var errs tail
	code, err := s.Exec(ctx, sandbox.Command{
		Label: "download",
		Script: `if [ -d "$S" ]; then exec tar -c -f - -C "$S" .
elif [ -e "$S" ] || [ -L "$S" ]; then exec tar -c -f - -C "$P" -- "$B"
else exit 44; fi`,
		Env:    map[string]string{"S": path.Clean(src), "P": path.Dir(path.Clean(src)), "B": path.Base(src)},
		Dir:    "/",
		User:   "0",
		Stdout: tar,
		Stderr: &errs,
	})
	switch {
	case err != nil:
	case code == exitMissing:
		err = sandbox.ErrNotFound
	case code == 1 && changedMeanwhile(errs.String()):
		// Something in the sandbox still writes there. The stream is whole.
	case code != 0:
		err = fmt.Errorf("tar ended with status %d: %s", code, &errs)
	}
	if err != nil {
		return fmt.Errorf("download %s: %w", src, err)
	}
	return nil
}

// changedMeanwhile recognises GNU tar's complaints about files that changed under it.
func changedMeanwhile(msg string) bool {
	return strings.Contains(msg, "file changed as we read it") || strings.Contains(msg, "File removed before we read it") ||
		strings.Contains(msg, "File shrank by")
}

// tail keeps the end of what is written to it, for messages.
type tail struct{ b bytes.Buffer }

const tailLength = 1000

func (t *tail) Write(p []byte) (int, error) {
	t.b.Write(p)
	if extra := t.b.Len() - tailLength; extra > 0 {
		t.b.Next(extra)
	}
	return len(p), nil
}

func (t *tail) String() string { return strings.TrimSpace(t.b.String()) }
