package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"oddish/internal/flight"
)

// Config of a Store.
type Config struct {
	// Dir is made if it is missing. It must not be shared between machines.
	Dir string
	// Keys gives the credentials for a registry; nil: those of docker's configuration.
	Keys authn.Keychain
	// Mirrors are asked first, by the registry they stand for: "docker.io" → "https://mirror.example".
	Mirrors map[string]string
	// Transport reaches registries; nil: the usual one, with the proxy that the environment names.
	Transport http.RoundTripper
	// Log takes what is worth knowing to an operator; nil discards it.
	Log *slog.Logger
}

// Store is a folder of images. It is safe for concurrent use, also by several processes.
type Store struct {
	dir       string
	keys      authn.Keychain
	mirrors   map[string]string
	transport http.RoundTripper
	log       *slog.Logger
	owners    bool // files get the owners that images give them, which takes root
	flights   flight.Group[Image]
}

// Open opens the folder, which is made if it is missing.
func Open(c Config) (*Store, error) {
	s := &Store{dir: c.Dir, keys: c.Keys, mirrors: c.Mirrors, transport: c.Transport, log: c.Log, owners: os.Geteuid() == 0,
		flights: flight.Group[Image]{Limit: flightTimeout}}
	if s.keys == nil {
		s.keys = authn.DefaultKeychain
	}
	if s.transport == nil {
		s.transport = remote.DefaultTransport
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	for _, name := range []string{"images", "names", "chains", "blobs", "locks", "caches"} {
		if err := os.MkdirAll(filepath.Join(s.dir, name), 0o700); err != nil {
			return nil, fmt.Errorf("open the image store: %w", err)
		}
	}
	return s, nil
}

// Dir is the folder of the store.
func (s *Store) Dir() string { return s.dir }

// root is the folder of a chain's root file system.
func (s *Store) root(chain string) string {
	return filepath.Join(s.dir, "chains", fileName(chain), "root")
}

// fileName makes a file's name of a digest.
func fileName(digest string) string { return strings.Replace(digest, ":", "-", 1) }

func (s *Store) imageFile(digest string) string {
	return filepath.Join(s.dir, "images", fileName(digest)+".json")
}

// Find gives the image with that digest; fs.ErrNotExist if the store has none.
func (s *Store) Find(digest string) (Image, error) {
	var img Image
	if !digestForm.MatchString(digest) {
		return img, fmt.Errorf("%q is no digest: %w", digest, fs.ErrNotExist)
	}
	if err := readJSON(s.imageFile(digest), &img); err != nil {
		return img, err
	}
	img.Root = s.root(img.Chain)
	if _, err := os.Stat(img.Root); err != nil {
		return img, err
	}
	return img, nil
}

// Use marks the image as used now; see Prune.
func (s *Store) Use(img Image) Image {
	now := time.Now()
	if err := os.Chtimes(s.imageFile(img.Digest), now, now); err != nil {
		s.log.Warn("use of image not noted", "image", img.Digest, "error", err)
	}
	return img
}

// Put enters an image whose chain is in the store, under the names.
func (s *Store) Put(img Image, names ...string) (Image, error) {
	img.Root = s.root(img.Chain)
	if _, err := os.Stat(img.Root); err != nil {
		return img, fmt.Errorf("enter image %s: %w", img.Digest, err)
	}
	if img.Created.IsZero() {
		img.Created = time.Now().UTC()
	}
	if err := writeJSON(s.imageFile(img.Digest), img); err != nil {
		return img, fmt.Errorf("enter image %s: %w", img.Digest, err)
	}
	for _, name := range names {
		if err := s.name(name, img.Digest); err != nil {
			return img, err
		}
	}
	return img, nil
}

// named is what a name stands for.
type named struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

func (s *Store) nameFile(name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(s.dir, "names", hex.EncodeToString(sum[:])+".json")
}

// name makes a name stand for the image.
func (s *Store) name(name, digest string) error {
	if err := writeJSON(s.nameFile(name), named{name, digest}); err != nil {
		return fmt.Errorf("name image %s: %w", digest, err)
	}
	return nil
}

// FindNamed gives the image that the name stands for; fs.ErrNotExist if there is none.
func (s *Store) FindNamed(name string) (Image, error) {
	var n named
	if err := readJSON(s.nameFile(name), &n); err != nil {
		return Image{}, err
	}
	return s.Find(n.Digest)
}

// Root is the folder of a chain's root file system, which must not be written to; fs.ErrNotExist if the store does not have it. The chain counts as used now.
func (s *Store) Root(chain string) (string, error) {
	root := s.root(chain)
	now := time.Now()
	if err := os.Chtimes(filepath.Dir(root), now, now); err != nil {
		return "", err
	}
	return root, nil
}

// NameKey is the name by which FindNamed and Put know what a reference names on this machine's platform. ErrUnusable if it is no reference.
func NameKey(reference string) (string, error) {
	keys, err := nameKeys([]string{reference})
	if err != nil {
		return "", err
	}
	return keys[0], nil
}

// Measure gives the bytes of the files of a chain.
func (s *Store) Measure(chain string) (int64, error) { return sizeOf(s.root(chain)) }

// Temp makes a file without a name, which is gone when it is closed.
func (s *Store) Temp() (*os.File, error) {
	f, err := os.CreateTemp(filepath.Join(s.dir, "blobs"), ".new-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// Cache is a folder of the store for what builds keep between them under a key. It is made if it is missing. unlock ends its use, which is exclusive
// among processes.
func (s *Store) Cache(ctx context.Context, key string) (dir string, unlock func(), err error) {
	unlock, err = s.lock(ctx, "cache "+key)
	if err != nil {
		return "", nil, err
	}
	dir = filepath.Join(s.dir, "caches", fileName(Digest(key)))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		unlock()
		return "", nil, fmt.Errorf("make a cache of builds: %w", err)
	}
	return dir, unlock, nil
}

// Shared runs fn once for all callers of the same key at a time, in this process and in others, and ends it when none of this process's waits any
// more. What fn writes goes to out of each of them; nil: nowhere.
func (s *Store) Shared(ctx context.Context, key string, out io.Writer, fn func(context.Context, io.Writer) (Image, error)) (Image, error) {
	return s.flights.Do(ctx, key, out, func(ctx context.Context, out io.Writer) (Image, error) {
		unlock, err := s.lock(ctx, key)
		if err != nil {
			return Image{}, err
		}
		defer unlock()
		return fn(ctx, out)
	})
}

// flightTimeout bounds a pull or build.
const flightTimeout = time.Hour

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// writeJSON replaces the file at once, so that a reader sees the old or the new content.
func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
