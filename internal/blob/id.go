package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// IDKey is the blob that tells one store from another.
const IDKey = "store.id"

// ID returns the store's id. The first to ask draws it; of several processes that do so at once all get the same.
func (l *Local) ID(ctx context.Context) (string, error) {
	id, err := l.readID(ctx)
	if !errors.Is(err, ErrNotFound) {
		return id, err
	}
	temp := path.Join(tempFolder, rand.Text())
	if _, err := l.writeTemp(ctx, temp, strings.NewReader(rand.Text()+"\n")); err != nil {
		return "", l.fail("store", IDKey, err)
	}
	defer func() { _ = l.root.Remove(temp) }() // else removed as abandoned
	// A link, unlike a rename, fails when the file has come into being meanwhile.
	if err := l.root.Link(temp, IDKey); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", l.fail("store", IDKey, err)
	}
	if err := l.syncFolder("."); err != nil && !errors.Is(err, os.ErrInvalid) {
		return "", l.fail("store", IDKey, err)
	}
	return l.readID(ctx)
}

func (l *Local) readID(ctx context.Context) (string, error) {
	r, _, err := l.Open(ctx, IDKey)
	if err != nil {
		return "", err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, 100))
	if err != nil {
		return "", l.fail("read", IDKey, err)
	}
	id := strings.TrimSpace(string(text))
	if id == "" {
		return "", fmt.Errorf("%s in %s is empty: delete it", IDKey, l.dir)
	}
	return id, nil
}
