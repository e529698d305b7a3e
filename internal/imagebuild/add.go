package imagebuild

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"oddish/internal/dockerfile"
	"oddish/internal/image"
)

// add carries out an ADD: a COPY that fetches and unpacks. Each archive is a step of its own.
func (s *stage) add(ctx context.Context, c *instructions.AddCommand) error {
	w, err := s.copying(s.files, c.SourcesAndDest, c.Chown, c.Chmod, c.ExcludePatterns)
	if err != nil {
		return err
	}
	defer w.close()
	if c.Checksum != "" && (len(c.SourcePaths) != 1 || !dockerfile.IsURL(c.SourcePaths[0])) {
		return failedf("--checksum is for one file that is fetched")
	}
	var archives []archive
	for _, source := range c.SourcePaths {
		found, err := w.source(ctx, c, source)
		if err != nil {
			return err
		}
		archives = append(archives, found...)
	}
	if len(w.layer.entries)+len(c.SourceContents) > 0 || len(archives) == 0 {
		if err := w.finish(ctx, c, c.SourceContents); err != nil {
			return err
		}
	}
	for _, a := range archives {
		if err := s.extend(ctx, c, fmt.Sprintf("unpack %s %s %v %v", a.sum, w.dest, w.own, w.mode), w.unpacked(a)); err != nil {
			return err
		}
	}
	return nil
}

// archive is one that is to be unpacked.
type archive struct {
	sum  string // of its content
	open func() (io.ReadCloser, error)
}

// close gives up what was fetched.
func (w *copying) close() {
	for _, f := range w.fetched {
		f.Close()
	}
}

// source copies what one source of an ADD names, and gives the archives among it.
func (w *copying) source(ctx context.Context, c *instructions.AddCommand, source string) ([]archive, error) {
	if dockerfile.IsURL(source) {
		return w.fetch(ctx, c, source)
	}
	if c.Unpack != nil && !*c.Unpack {
		return nil, w.find(source)
	}
	names, err := w.from.find(source)
	if err != nil {
		return nil, err
	}
	w.folder = w.folder || len(names) > 1
	var archives []archive
	for _, name := range names {
		at, info, err := w.from.stat(name)
		if err != nil {
			return nil, failedf("look at %s: %w", name, err)
		}
		open := func() (io.ReadCloser, error) { return w.from.root.Open(at) }
		if !info.Mode().IsRegular() || !isArchive(open) {
			if err := w.one(name); err != nil {
				return nil, err
			}
			continue
		}
		sum, err := sumOf(open)
		if err != nil {
			return nil, err
		}
		archives = append(archives, archive{sum, open})
	}
	return archives, nil
}

// fetchTimeout bounds the fetching of one file.
const fetchTimeout = 30 * time.Minute

// fetch brings a file from elsewhere. It is asked for in every build, since it may have changed.
func (w *copying) fetch(ctx context.Context, c *instructions.AddCommand, address string) ([]archive, error) {
	w.stage.out.say("fetching %s", address)
	temp, modified, err := w.download(ctx, address)
	if err != nil {
		return nil, err
	}
	w.fetched = append(w.fetched, temp)
	open := func() (io.ReadCloser, error) {
		info, err := temp.Stat()
		if err != nil {
			return nil, err
		}
		return io.NopCloser(io.NewSectionReader(temp, 0, info.Size())), nil
	}
	sum, err := sumOf(open)
	if err != nil {
		return nil, err
	}
	if c.Checksum != "" && c.Checksum != "sha256:"+sum {
		return nil, failedf("%s has the digest sha256:%s, and %s is wanted", address, sum, c.Checksum)
	}
	if c.Unpack != nil && *c.Unpack && isArchive(open) {
		return []archive{{sum, open}}, nil
	}
	target := w.dest
	if w.folder {
		name, err := nameOf(address)
		if err != nil {
			return nil, failed(err)
		}
		target = path.Join(w.dest, name)
	}
	info, err := temp.Stat()
	if err != nil {
		return nil, err
	}
	own, mode := w.owns(), int64(0o600)
	if w.mode != nil {
		mode = *w.mode
	}
	w.layer.entries = append(w.layer.entries, entry{
		Header: tar.Header{Typeflag: tar.TypeReg, Name: relative(target), Mode: mode, Size: info.Size(), Uid: own.uid, Gid: own.gid, ModTime: modified},
		open:   open,
	})
	return nil, nil
}

// download fetches to a file without a name. An answer that no second try will change is ErrFailed.
func (w *copying) download(ctx context.Context, address string) (*os.File, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, time.Time{}, failed(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("fetch %s: %w", address, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		err := fmt.Errorf("fetch %s: the server says %s", address, resp.Status)
		if resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests {
			err = failed(err)
		}
		return nil, time.Time{}, err
	}
	temp, err := w.stage.Store.Temp()
	if err != nil {
		return nil, time.Time{}, err
	}
	if _, err := io.Copy(temp, resp.Body); err != nil {
		return nil, time.Time{}, errors.Join(fmt.Errorf("fetch %s: %w", address, err), temp.Close())
	}
	modified, err := http.ParseTime(resp.Header.Get("Last-Modified"))
	if err != nil {
		modified = time.Unix(0, 0)
	}
	return temp, modified, nil
}

// nameOf is the name that a fetched file gets in a folder.
func nameOf(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	name := path.Base(u.Path)
	if name == "/" || name == "." {
		return "", fmt.Errorf("%s names no file: give the destination a name", address)
	}
	return name, nil
}

func sumOf(open func() (io.ReadCloser, error)) (string, error) {
	f, err := open()
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// isArchive reports whether a file is one that ADD unpacks.
func isArchive(open func() (io.ReadCloser, error)) bool {
	f, err := open()
	if err != nil {
		return false
	}
	plain, err := image.Decompress(f)
	if err != nil {
		f.Close()
		return false
	}
	defer plain.Close()
	_, err = tar.NewReader(plain).Next()
	return err == nil
}

// unpacked is the content of an archive as a layer below the destination.
func (w *copying) unpacked(a archive) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) {
		f, err := a.open()
		if err != nil {
			return nil, err
		}
		pr, pw := io.Pipe()
		go func() { pw.CloseWithError(w.rewrite(f, pw)) }()
		return pr, nil
	}
}

func (w *copying) rewrite(from io.ReadCloser, to io.Writer) error {
	plain, err := image.Decompress(from)
	if err != nil {
		return errors.Join(failed(err), from.Close())
	}
	defer plain.Close()
	in, out := tar.NewReader(plain), tar.NewWriter(to)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return out.Close()
		}
		if err != nil {
			return failedf("unpack: %w", err)
		}
		if strings.HasPrefix(path.Base(h.Name), ".wh.") || slices.Contains([]byte{tar.TypeXGlobalHeader, tar.TypeChar, tar.TypeBlock}, h.Typeflag) {
			continue // nothing of an archive removes files, or makes devices
		}
		if h.Name = relative(path.Join(w.dest, path.Clean("/"+h.Name))); h.Name == "" {
			continue
		}
		if h.Typeflag == tar.TypeDir {
			h.Name += "/"
		}
		if h.Typeflag == tar.TypeLink {
			h.Linkname = relative(path.Join(w.dest, path.Clean("/"+h.Linkname)))
		}
		if w.own != nil {
			h.Uid, h.Gid = w.own.uid, w.own.gid
		}
		if w.mode != nil && h.Typeflag != tar.TypeSymlink {
			h.Mode = *w.mode
		}
		h.Uname, h.Gname, h.Format = "", "", tar.FormatUnknown
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil {
			return failedf("unpack: %w", err)
		}
	}
}
