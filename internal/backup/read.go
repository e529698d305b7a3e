package backup

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"oddish/internal/store"
	"oddish/internal/tarball"
)

// Read returns the manifest of the backup at path. It refuses a file that is no backup (ErrNotBackup), or one that a newer program
// has made.
func Read(path string) (Manifest, error) {
	f, r, err := open(path)
	if err != nil {
		return Manifest{}, err
	}
	defer f.Close()
	m, err := readManifest(r)
	if err == nil {
		latest, verr := store.LatestVersion()
		if verr != nil {
			return Manifest{}, verr
		}
		err = m.check(latest)
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("%s %w", path, err)
	}
	return m, nil
}

// open gives the tar stream of the file, which may be gzipped whatever it is called.
func open(path string) (*os.File, io.Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	buffered := bufio.NewReader(f)
	if magic, err := buffered.Peek(2); err != nil || magic[0] != 0x1f || magic[1] != 0x8b {
		return f, buffered, nil // too short is found out by whoever reads
	}
	z, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return f, z, nil
}

// maxManifest is more than any manifest has.
const maxManifest = 1 << 20

func readManifest(r io.Reader) (Manifest, error) {
	members := tar.NewReader(r)
	h, err := members.Next()
	if err != nil || h.Name != manifestName || h.Size > maxManifest {
		return Manifest{}, ErrNotBackup
	}
	var m Manifest
	if err := json.NewDecoder(members).Decode(&m); err != nil {
		return Manifest{}, ErrNotBackup
	}
	return m, nil
}

// unpack extracts the backup into dir and checks its database.
func unpack(ctx context.Context, path, dir string, m Manifest) error {
	f, r, err := open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = tarball.Unpack(cancellable{ctx, r}, dir, tarball.UnpackOptions{
		// It is our own file, and what it needs is only known when it is there.
		Limits: tarball.Limits{Bytes: math.MaxInt64, Files: math.MaxInt, FileBytes: math.MaxInt64, NameBytes: math.MaxInt},
		Skip:   func(rel string) bool { return !known(rel) },
	})
	if err != nil {
		return fmt.Errorf("backup %s: %w", path, err)
	}
	if err := private(dir); err != nil {
		return fmt.Errorf("backup %s: %w", path, err)
	}
	if err := verify(ctx, filepath.Join(dir, databaseName), m); err != nil {
		return fmt.Errorf("backup %s: %w", path, err)
	}
	return nil
}

func known(rel string) bool {
	switch rel {
	case ".", manifestName, databaseName, keyName, blobsName:
		return true
	}
	return strings.HasPrefix(rel, blobsName+"/")
}

// private takes from others what unpacking has given them.
func private(dir string) error {
	for _, name := range []string{databaseName, keyName, blobsName} {
		path := filepath.Join(dir, name)
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, os.ErrNotExist) && name != databaseName:
			continue
		case err != nil:
			return fmt.Errorf("%s is not in it", name)
		case info.IsDir() && name == blobsName:
			err = os.Chmod(path, 0o700)
		case info.Mode().IsRegular() && name != blobsName:
			err = os.Chmod(path, 0o600)
		default:
			err = fmt.Errorf("%s is of the wrong kind", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// verify makes sure that the database is whole, and of the version that the manifest says.
func verify(ctx context.Context, path string, m Manifest) error {
	db, err := store.Open(ctx, "sqlite:///"+path, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.CheckIntegrity(ctx); err != nil {
		return err
	}
	version, _, err := db.SchemaVersion(ctx)
	if err == nil && version != m.Schema {
		err = fmt.Errorf("its tables have version %d, and its manifest says %d", version, m.Schema)
	}
	return err
}

// cancellable is a reader that fails once its context has ended.
type cancellable struct {
	ctx context.Context
	r   io.Reader
}

func (c cancellable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
