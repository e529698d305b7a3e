package docker

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"oddish/internal/sandbox"
)

// maxLinks bounds the links that are followed at the end of a path to download.
const maxLinks = 8

// Upload extracts a tar stream into dst, whose missing parts are made. Everything in it becomes root's.
func (b *box) Upload(ctx context.Context, dst string, content io.Reader) error {
	base, missing, err := b.deepest(ctx, path.Clean(dst))
	if err != nil {
		return fmt.Errorf("upload to %s: %w", dst, b.died(ctx, err))
	}
	pr, pw := io.Pipe()
	defer pr.Close()
	go func() { pw.CloseWithError(rewrite(pw, content, missing)) }()
	_, err = b.p.engine.CopyToContainer(ctx, b.id, client.CopyToContainerOptions{DestinationPath: base, Content: pr})
	if err != nil {
		return fmt.Errorf("upload to %s: %w", dst, b.died(ctx, err))
	}
	return nil
}

// deepest splits dir into the part that exists in the container and the part that does not.
func (b *box) deepest(ctx context.Context, dir string) (exists, missing string, err error) {
	for exists = dir; exists != "/"; exists = path.Dir(exists) {
		_, err := b.p.engine.ContainerStatPath(ctx, b.id, client.ContainerStatPathOptions{Path: exists})
		switch {
		case err == nil:
			return exists, missing, nil
		case !cerrdefs.IsNotFound(err):
			return "", "", err
		}
		missing = path.Join(path.Base(exists), missing)
	}
	return exists, missing, nil
}

// rewrite copies a tar stream with every name below prefix, whose folders come first, and root as owner.
func rewrite(w io.Writer, r io.Reader, prefix string) error {
	out := tar.NewWriter(w)
	for i := range len(prefix) + 1 {
		if i < len(prefix) && prefix[i] != '/' || i == 0 {
			continue
		}
		if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: prefix[:i] + "/", Mode: 0o755}); err != nil {
			return err
		}
	}
	err := eachEntry(r, out, func(h *tar.Header) bool {
		dir := h.Typeflag == tar.TypeDir
		h.Name = path.Join(prefix, h.Name)
		if dir {
			h.Name += "/"
		}
		if h.Typeflag == tar.TypeLink {
			h.Linkname = path.Join(prefix, h.Linkname)
		}
		h.Uid, h.Gid, h.Uname, h.Gname = 0, 0, "", ""
		return h.Name != "./" // the folder itself is there, and stays as it is
	})
	if err != nil {
		return err
	}
	return out.Close()
}

// eachEntry copies the members of a tar stream that change approves of, as changed.
func eachEntry(r io.Reader, out *tar.Writer, change func(*tar.Header) bool) error {
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read tar stream: %w", err)
		}
		if !change(h) {
			continue
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
	}
}

// Download writes a tar stream of a directory's content, or of one file.
func (b *box) Download(ctx context.Context, src string, w io.Writer) error {
	if err := b.download(ctx, path.Clean(src), w, maxLinks); err != nil {
		return fmt.Errorf("download %s: %w", src, b.died(ctx, err))
	}
	return nil
}

func (b *box) download(ctx context.Context, src string, w io.Writer, links int) error {
	got, err := b.p.engine.CopyFromContainer(ctx, b.id, client.CopyFromContainerOptions{SourcePath: src})
	if cerrdefs.IsNotFound(err) {
		if why := b.running(ctx); why != nil {
			return why
		}
		return sandbox.ErrNotFound
	} else if err != nil {
		return err
	}
	defer got.Content.Close()
	if got.Stat.Mode&fs.ModeSymlink != 0 && got.Stat.LinkTarget != src && links > 0 {
		return b.download(ctx, got.Stat.LinkTarget, w, links-1)
	}
	out := tar.NewWriter(w)
	if got.Stat.Mode.IsDir() {
		err = eachEntry(got.Content, out, relative)
	} else {
		err = eachEntry(got.Content, out, func(*tar.Header) bool { return true })
	}
	if err != nil {
		return err
	}
	return out.Close()
}

// relative takes the first part, which is the downloaded folder's own name, off a member's names.
func relative(h *tar.Header) bool {
	_, h.Name, _ = strings.Cut(h.Name, "/")
	if h.Typeflag == tar.TypeLink {
		_, h.Linkname, _ = strings.Cut(h.Linkname, "/")
	}
	return h.Name != ""
}
