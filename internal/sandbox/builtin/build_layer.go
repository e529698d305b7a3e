//go:build linux && (amd64 || arm64)

package builtin

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"oddish/internal/sandbox"
)

// gVisor writes the upper layer of a sandbox as a tar stream that lacks two things. A folder that was removed and made
// again is not told from one that was changed: whether it hides what the image has in it is asked of the sandbox by a witness, a
// file of the image in that folder which the layer says nothing of. And a removed file is a device 0:0, of which all but the first are hard links to it.

// witnessesOf gives for each folder of the layer that the image has too, and has something else in, one such thing.
func witnessesOf(layer *os.File, base string) (map[string]string, error) {
	children := map[string][]string{} // of the folders of the layer
	err := eachEntry(layer, func(h *tar.Header, _ io.Reader) error {
		name := layerName(h)
		if h.Typeflag == tar.TypeDir && children[name] == nil {
			children[name] = []string{}
		}
		if name != "." {
			dir := path.Dir(name)
			children[dir] = append(children[dir], path.Base(name))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(base)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	witnesses := map[string]string{}
	for dir, in := range children {
		if ours(dir) {
			continue
		}
		if w := witness(root, dir, in); w != "" {
			witnesses[w] = dir
		}
	}
	return witnesses, nil
}

// witness gives a thing that the image has in the folder and the layer does not; "" if there is none.
func witness(root *os.Root, dir string, in []string) string {
	info, err := root.Lstat(dir)
	if err != nil || !info.IsDir() {
		return ""
	}
	entries, err := fs.ReadDir(root.FS(), dir)
	if err != nil {
		return ""
	}
	for _, e := range entries {
		if name := path.Join(dir, e.Name()); !slices.Contains(in, e.Name()) && !ours(name) && !strings.Contains(name, "\n") {
			return name
		}
	}
	return ""
}

// hiddenScript says which of the paths on its input are not there.
const hiddenScript = `while IFS= read -r p; do [ -e "$p" ] || [ -L "$p" ] || printf '%s\n' "$p"; done`

// hidden gives the folders whose witness is not there any more.
func (s *box) hidden(ctx context.Context, witnesses map[string]string) (map[string]bool, error) {
	opaque := map[string]bool{}
	if len(witnesses) == 0 {
		return opaque, nil
	}
	var in, out, errs bytes.Buffer
	for w := range witnesses {
		in.WriteString("/" + w + "\n")
	}
	code, err := s.Exec(ctx, sandbox.Command{Label: "build", Script: hiddenScript, Dir: "/", User: "0", Stdin: &in, Stdout: &out, Stderr: &errs})
	if err == nil && code != 0 {
		err = fmt.Errorf("look for files: exit status %d: %s", code, &errs)
	}
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(out.String()) {
		opaque[witnesses[strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "/")]] = true
	}
	return opaque, nil
}

// eachEntry goes through the layer from its beginning.
func eachEntry(layer *os.File, f func(*tar.Header, io.Reader) error) error {
	info, err := layer.Stat()
	if err != nil {
		return err
	}
	in := tar.NewReader(io.NewSectionReader(layer, 0, info.Size()))
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f(h, in); err != nil {
			return err
		}
	}
}

func layerName(h *tar.Header) string {
	return path.Clean(strings.TrimPrefix(path.Clean("/"+h.Name), "/"))
}

// ours reports whether a path is one that every sandbox has from us, so that it belongs to no image.
func ours(name string) bool {
	for _, of := range []string{"proc", "sys", "dev", "oddish"} {
		if name == of || strings.HasPrefix(name, of+"/") {
			return true
		}
	}
	return slices.Contains([]string{"etc/hostname", "etc/hosts", "etc/resolv.conf", "tmp/.X11-unix"}, name)
}

// asLayer gives the sandbox's layer as image stores take them. Closing the stream closes the file.
func asLayer(layer *os.File, opaque map[string]bool) io.ReadCloser {
	pr, pw := io.Pipe()
	go func() {
		out := tar.NewWriter(pw)
		removed := map[string]bool{}
		err := eachEntry(layer, func(h *tar.Header, content io.Reader) error {
			return writeEntry(out, h, content, removed, opaque)
		})
		if err == nil {
			err = out.Close()
		}
		layer.Close()
		pw.CloseWithError(err)
	}()
	return pr
}

func writeEntry(out *tar.Writer, h *tar.Header, content io.Reader, removed, opaque map[string]bool) error {
	name := layerName(h)
	if ours(name) {
		return nil
	}
	if h.Typeflag == tar.TypeLink && removed[path.Clean(strings.TrimPrefix(path.Clean("/"+h.Linkname), "/"))] {
		h.Typeflag, h.Linkname = tar.TypeChar, ""
	}
	if h.Typeflag == tar.TypeChar && h.Devmajor == 0 && h.Devminor == 0 {
		removed[name] = true
	}
	if err := out.WriteHeader(h); err != nil {
		return err
	}
	if _, err := io.Copy(out, content); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeDir || !opaque[name] {
		return nil
	}
	return out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path.Join(name, ".wh..wh..opq"), Mode: 0o600})
}
