package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// maxRegistry bounds a registry, in bytes.
const maxRegistry = 64 << 20

// registry reads a registry and says what its tasks without a repository belong to.
func (r *Resolver) registry(ctx context.Context, source string) ([]byte, origin, error) {
	if strings.HasPrefix(source, "https://") || strings.HasPrefix(source, "http://") {
		data, err := r.download(ctx, source)
		return data, origin{}, err
	}
	file := source
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		file = filepath.Join(file, registryFile)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, origin{}, fmt.Errorf("read the registry: %w", err)
	}
	return data, origin{dir: filepath.Dir(file)}, nil
}

// download gets a registry by its address. What was got last is kept: it is asked for again only if it has changed, and it serves when the address
// cannot be reached.
func (r *Resolver) download(ctx context.Context, url string) ([]byte, error) {
	unlock, err := r.lock(ctx, url)
	if err != nil {
		return nil, err
	}
	defer unlock()
	file := r.cached("registries", url)
	kept, _ := os.ReadFile(file)
	tag, _ := os.ReadFile(file + ".etag")
	data, newTag, err := r.get(ctx, url, string(tag), kept != nil)
	switch {
	case err == nil && data == nil:
		return kept, nil
	case err == nil:
		return data, keepRegistry(file, data, newTag)
	case ctx.Err() == nil && kept != nil:
		r.tell("the registry cannot be reached, the one got last is used: %v", err)
		return kept, nil
	}
	return nil, fmt.Errorf("get the registry: %w", err)
}

// get gives nil if what has that tag is still right.
func (r *Resolver) get(ctx context.Context, url, tag string, have bool) (data []byte, newTag string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, "", err
	}
	if have && tag != "" {
		req.Header.Set("If-None-Match", tag)
	}
	resp, err := r.Client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && have:
		return nil, "", nil
	case resp.StatusCode != http.StatusOK:
		return nil, "", fmt.Errorf("%s: %s", url, resp.Status)
	}
	data, err = io.ReadAll(io.LimitReader(resp.Body, maxRegistry+1))
	if err == nil && len(data) > maxRegistry {
		err = fmt.Errorf("%s is larger than %d MiB", url, maxRegistry>>20)
	}
	if err == nil && len(data) == 0 {
		err = errors.New(url + " is empty")
	}
	return data, resp.Header.Get("ETag"), err
}

func keepRegistry(file string, data []byte, tag string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("keep the registry: %w", err)
	}
	// The tag goes first and comes last, so that it never belongs to other data.
	if err := os.Remove(file + ".etag"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("keep the registry: %w", err)
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{file, data}, {file + ".etag", []byte(tag)}} {
		if err := os.WriteFile(f.name+".new", f.data, 0o644); err != nil {
			return fmt.Errorf("keep the registry: %w", err)
		}
		if err := os.Rename(f.name+".new", f.name); err != nil {
			return fmt.Errorf("keep the registry: %w", err)
		}
	}
	return nil
}
