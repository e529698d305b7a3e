package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oddish/internal/config"
	"oddish/internal/store"
	"oddish/internal/store/storetest"
)

func TestAServerWithAnotherKeyOrOtherArtifactsIsRefused(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	open := func(dir string, cfg config.Config) identity {
		i, err := openIdentity(cfg, dir)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	first, other := t.TempDir(), t.TempDir()
	for range 2 {
		if err := open(first, config.Config{}).check(t.Context(), db); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(dir string, cfg config.Config, want string) {
		t.Helper()
		if err := open(dir, cfg).check(t.Context(), db); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	refused(other, config.Config{}, "another key")
	key, err := os.ReadFile(filepath.Join(first, store.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	refused(other, config.Config{SecretKey: string(key)}, "another folder")
	shared := config.Config{SecretKey: string(key), ArtifactsDir: filepath.Join(first, "blobs")}
	if err := open(other, shared).check(t.Context(), db); err != nil {
		t.Errorf("a second server with the same key and folder: %v", err)
	}
	if err := open(other, config.Config{}).adopt(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if err := open(other, config.Config{}).check(t.Context(), db); err != nil {
		t.Errorf("after it was adopted: %v", err)
	}
}
