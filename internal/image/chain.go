package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// chainID names the tree of the layers up to one, by the chain id of those below it and its own uncompressed digest, as in the OCI
// image specification.
func chainID(below, diff string) string {
	if below == "" {
		return diff
	}
	return Digest(below + " " + diff)
}

// Digest is the sha256 of a text, as digests are written.
func Digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// has reports whether the store has the chain.
func (s *Store) has(chain string) bool {
	_, err := os.Stat(s.root(chain))
	return err == nil
}

// Stream is the uncompressed tar of a layer.
type Stream func(ctx context.Context) (io.ReadCloser, error)

// Extend makes a chain of another and one more layer, unless it is there; below may be empty. The stream is a layer as in the OCI image specification, or
// as overlay file systems have them, with devices 0:0 for what is removed.
func (s *Store) Extend(ctx context.Context, below, chain string, stream Stream) error {
	return s.extend(ctx, below, chain, []Stream{stream})
}

// extend is Extend for several layers at once, whose chains between are not kept.
func (s *Store) extend(ctx context.Context, below, chain string, layers []Stream) error {
	unlock, err := s.lock(ctx, "chain "+chain)
	if err != nil {
		return err
	}
	defer unlock()
	if s.has(chain) {
		return nil
	}
	dir := filepath.Dir(s.root(chain))
	// What a process left that was killed at this.
	if err := removeTree(dir + ".new"); err != nil {
		return fmt.Errorf("unpack image: %w", err)
	}
	if err := s.fill(ctx, dir+".new", below, layers); err != nil {
		return errors.Join(err, removeTree(dir+".new"))
	}
	if err := os.Rename(dir+".new", dir); err != nil {
		return errors.Join(fmt.Errorf("unpack image: %w", err), removeTree(dir+".new"))
	}
	return nil
}

func (s *Store) fill(ctx context.Context, dir, below string, layers []Stream) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("unpack image: %w", err)
	}
	root := filepath.Join(dir, "root")
	var err error
	if below == "" {
		err = os.Mkdir(root, 0o755)
	} else {
		err = copyTree(root, s.root(below), s.owners)
	}
	if err != nil {
		return fmt.Errorf("unpack image: %w", err)
	}
	if err := os.Chmod(root, 0o755); err != nil { // not as the umask has it
		return fmt.Errorf("unpack image: %w", err)
	}
	for _, open := range layers {
		if err := s.apply(ctx, root, open); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) apply(ctx context.Context, root string, open Stream) error {
	stream, err := open(ctx)
	if err != nil {
		return err
	}
	_, err = applyLayer(root, stream, s.owners)
	if closed := stream.Close(); err == nil {
		err = closed
	}
	return err
}

// sizeOf adds up the sizes of the files of a tree in bytes.
func sizeOf(root string) (int64, error) {
	var size int64
	err := filepath.WalkDir(root, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.Type().IsRegular() {
			info, err := e.Info()
			if err != nil {
				return err
			}
			size += info.Size()
		}
		return nil
	})
	return size, err
}
