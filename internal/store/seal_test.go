package store_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"oddish/internal/store"
)

func TestSealerMakesItsKeyOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	var mu sync.Mutex
	var sealers []*store.Sealer
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			s, err := store.OpenSealer(dir, "")
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			sealers = append(sealers, s)
		})
	}
	group.Wait()
	sealed := sealers[0].Seal("trial-1", "secret")
	if strings.Contains(sealed, "secret") || sealed == sealers[0].Seal("trial-1", "secret") {
		t.Errorf("sealed text is %q", sealed)
	}
	for _, s := range sealers {
		if text, err := s.Unseal("trial-1", sealed); err != nil || text != "secret" {
			t.Errorf("unsealed %q, %v", text, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("the folder holds %v, %v", entries, err)
	}
	if info, err := entries[0].Info(); err != nil || info.Name() != store.KeyFile || info.Mode().Perm() != 0o600 {
		t.Errorf("the key is in %v, %v", info, err)
	}
}

func TestSealerTakesAKeyInWords(t *testing.T) {
	t.Parallel()
	raw := strings.Repeat("k", 32)
	hexKey := strings.Repeat("6b", 32)
	var sealers []*store.Sealer
	for _, key := range []string{hexKey, " " + hexKey + "\n", base64.StdEncoding.EncodeToString([]byte(raw)), base64.RawURLEncoding.EncodeToString([]byte(raw))} {
		s, err := store.OpenSealer("/nonexistent", key)
		if err != nil {
			t.Fatal(err)
		}
		sealers = append(sealers, s)
	}
	sealed := sealers[0].Seal("t", "x")
	for _, s := range sealers {
		if _, err := s.Unseal("t", sealed); err != nil {
			t.Error(err)
		}
	}
	for _, key := range []string{"short", hexKey[2:], hexKey + "00", "not hex at all, but of some length......"} {
		if _, err := store.OpenSealer("/nonexistent", key); err == nil || strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "ODDISH_SECRET_KEY") {
			t.Errorf("key %q: %v", key, err)
		}
	}
}

func TestUnsealRefuses(t *testing.T) {
	t.Parallel()
	s, err := store.OpenSealer(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	other, err := store.OpenSealer(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	sealed := s.Seal("trial-1", "secret")
	if _, err := s.Unseal("trial-2", sealed); err == nil {
		t.Error("what was sealed for one trial was opened for another")
	}
	if _, err := other.Unseal("trial-1", sealed); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("another key: %v", err)
	}
	for _, damaged := range []string{"", "AAAA", "%%%", sealed[:len(sealed)-4]} {
		if _, err := s.Unseal("trial-1", damaged); err == nil {
			t.Errorf("%q was opened", damaged)
		}
	}
}

func TestADamagedKeyFileIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, store.KeyFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.OpenSealer(dir, ""); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, store.KeyFile)) {
		t.Errorf("the error is %v", err)
	}
}
