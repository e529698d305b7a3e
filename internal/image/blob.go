package image

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// fetchTries is how often a layer's transfer is taken up again when it breaks off.
const fetchTries = 5

// partial is the ending of a blob that is not whole.
const partial = ".part"

// fetch brings a layer into the store, or what is missing of it there, and gives its file.
func (s *Store) fetch(ctx context.Context, client *http.Client, ref name.Reference, l v1.Layer) (string, error) {
	digest, err := l.Digest()
	if err != nil {
		return "", fmt.Errorf("read the manifest: %w", err)
	}
	size, err := l.Size()
	if err != nil {
		return "", fmt.Errorf("read the manifest: %w", err)
	}
	path := filepath.Join(s.dir, "blobs", fileName(digest.String()))
	unlock, err := s.lock(ctx, "blob "+digest.String())
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	for try := 1; ; try++ {
		err = transfer(ctx, client, blobURL(ref, digest), path+partial, size)
		if err == nil || ctx.Err() != nil || try == fetchTries || errors.Is(err, ErrUnusable) {
			break
		}
		s.log.Warn("transfer of layer broke off", "layer", digest.String(), "try", try, "error", err)
	}
	if err != nil {
		return "", fmt.Errorf("fetch layer %s: %w", digest, err)
	}
	if err := s.verify(path+partial, digest); err != nil {
		return "", err
	}
	return path, os.Rename(path+partial, path)
}

func blobURL(ref name.Reference, digest v1.Hash) string {
	repository := ref.Context()
	u := url.URL{Scheme: repository.Scheme(), Host: repository.RegistryStr(), Path: "/v2/" + repository.RepositoryStr() + "/blobs/" + digest.String()}
	return u.String()
}

// transfer appends to the file what is missing of size bytes.
func transfer(ctx context.Context, client *http.Client, from, path string, size int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == size {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	if info.Size() > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", info.Size(), size-1))
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusPartialContent:
	case http.StatusOK: // all of it, whatever was asked for
		if err := f.Truncate(0); err != nil {
			return err
		}
	case http.StatusRequestedRangeNotSatisfiable: // then from the beginning
		return errors.Join(errors.New("the registry does not go on with a transfer"), f.Truncate(0))
	case http.StatusNotFound, http.StatusUnauthorized, http.StatusForbidden:
		return unusable("the registry answers %s", resp.Status)
	default:
		return fmt.Errorf("the registry answers %s", resp.Status)
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}

// verify removes a file that is not what its digest says.
func (s *Store) verify(path string, digest v1.Hash) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != digest.Hex {
		return errors.Join(fmt.Errorf("layer %s came as %s: it was changed on the way", digest, got), os.Remove(path))
	}
	return nil
}

// forget removes layers that are unpacked.
func (s *Store) forget(layers []v1.Layer) error {
	for _, l := range layers {
		digest, err := l.Digest()
		if err != nil {
			return err
		}
		err = os.Remove(filepath.Join(s.dir, "blobs", fileName(digest.String())))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the packed layer: %w", err)
		}
	}
	return nil
}

// fromFile opens a layer that lies packed in a file.
func fromFile(path string) Stream {
	return func(context.Context) (io.ReadCloser, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		in, err := Decompress(f)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open layer %s: %w", filepath.Base(path), err), f.Close())
		}
		return in, nil
	}
}

// unpacked is a stream whose source is closed with it.
type unpacked struct {
	io.Reader
	closers []func() error
}

func (u unpacked) Close() error {
	var all error
	for _, c := range u.closers {
		all = errors.Join(all, c())
	}
	return all
}

// Decompress tells by the first bytes how a stream is packed, by gzip, zstd, xz, bzip2 or not at all, and undoes it. Closing what it gives closes from.
func Decompress(from io.ReadCloser) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(from, 1<<16)
	magic, err := in.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		return unpacked{z, []func() error{z.Close, from.Close}}, nil
	case bytes.HasPrefix(magic, []byte("BZh")):
		return unpacked{bzip2.NewReader(in), []func() error{from.Close}}, nil
	case bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")):
		z, err := xz.NewReader(in)
		if err != nil {
			return nil, err
		}
		return unpacked{z, []func() error{from.Close}}, nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(in)
		if err != nil {
			return nil, err
		}
		return unpacked{z, []func() error{func() error { z.Close(); return nil }, from.Close}}, nil
	}
	return unpacked{in, []func() error{from.Close}}, nil
}

// checked refuses, at its end, a stream whose digest is another.
func checked(open Stream, diff string) Stream {
	return func(ctx context.Context) (io.ReadCloser, error) {
		stream, err := open(ctx)
		if err != nil {
			return nil, err
		}
		return &checkedStream{ReadCloser: stream, hash: sha256.New(), want: diff}, nil
	}
}

type checkedStream struct {
	io.ReadCloser
	hash hash.Hash
	want string
}

func (c *checkedStream) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.hash.Write(p[:n])
	if errors.Is(err, io.EOF) {
		if got := "sha256:" + hex.EncodeToString(c.hash.Sum(nil)); got != c.want {
			return n, unusable("a layer is %s, and its configuration says %s", got, c.want)
		}
	}
	return n, err
}
