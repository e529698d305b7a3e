package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ledger remembers, in files of a folder, which images of the engine we brought, and when each was last used: the engine tells neither. The
// time of a file is that of the last use. Several processes may use the folder. The empty ledger remembers nothing.
type ledger string

// ledgerIn is for an engine at an address.
func ledgerIn(dir, host string) ledger {
	if dir == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(host))
	return ledger(filepath.Join(dir, hex.EncodeToString(sum[:8])))
}

// entry is an image in the ledger.
type entry struct {
	Name   string    `json:"name"`
	ID     string    `json:"id,omitempty"` // of what was pulled by that name
	Pulled bool      `json:"pulled"`       // else built, which the name tells as well
	Used   time.Time `json:"-"`
}

func (l ledger) file(name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(string(l), hex.EncodeToString(sum[:16])+".json")
}

// note enters an image, as used now.
func (l ledger) note(e entry) error {
	if l == "" {
		return nil
	}
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(string(l), 0o700); err != nil {
		return fmt.Errorf("note the image %s: %w", e.Name, err)
	}
	f, err := os.CreateTemp(string(l), "new-*")
	if err != nil {
		return fmt.Errorf("note the image %s: %w", e.Name, err)
	}
	defer os.Remove(f.Name()) // which is gone if all went well
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), l.file(e.Name))
	}
	if err != nil {
		return fmt.Errorf("note the image %s: %w", e.Name, err)
	}
	return nil
}

// touch marks an image as used now, if it is entered.
func (l ledger) touch(name string) error {
	if l == "" {
		return nil
	}
	now := time.Now()
	if err := os.Chtimes(l.file(name), now, now); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("note the use of the image %s: %w", name, err)
	}
	return nil
}

// forget takes an image out.
func (l ledger) forget(name string) error {
	if l == "" {
		return nil
	}
	if err := os.Remove(l.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget the image %s: %w", name, err)
	}
	return nil
}

// entries gives all by name.
func (l ledger) entries() (map[string]entry, error) {
	all := map[string]entry{}
	if l == "" {
		return all, nil
	}
	files, err := os.ReadDir(string(l))
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read which images are ours: %w", err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".json") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(string(l), f.Name()))
		info, err2 := f.Info()
		if err = errors.Join(err, err2); errors.Is(err, fs.ErrNotExist) {
			continue // forgotten at this moment
		}
		if err != nil {
			return nil, fmt.Errorf("read which images are ours: %w", err)
		}
		e := entry{Used: info.ModTime()}
		if json.Unmarshal(data, &e) == nil && e.Name != "" {
			all[e.Name] = e
		}
	}
	return all, nil
}
