package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Sealer encrypts the secrets of trials at rest (AES-256-GCM). It may be used from many goroutines.
type Sealer struct {
	aead        cipher.AEAD
	fingerprint string
}

// KeyFile is the name of the key's file in the data directory.
const KeyFile = "secret.key"

const keyBytes = 32

// OpenSealer uses the key given (ODDISH_SECRET_KEY: 32 bytes in hex or base64) or, when it is empty, the one in the
// file secret.key in dir, which it makes when absent, readable by the owner alone.
func OpenSealer(dir, key string) (*Sealer, error) {
	origin := "ODDISH_SECRET_KEY"
	if key == "" {
		path := filepath.Join(dir, KeyFile)
		var err error
		if key, err = readOrMakeKey(path); err != nil {
			return nil, fmt.Errorf("open secret key: %w", err)
		}
		origin = path
	}
	raw, err := decodeKey(key)
	if err != nil {
		return nil, fmt.Errorf("secret key in %s: %w", origin, err)
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, fmt.Errorf("secret key in %s: %w", origin, err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("secret key in %s: %w", origin, err)
	}
	return &Sealer{aead, fingerprint(raw)}, nil
}

// Fingerprint tells one key from another and says nothing else about it.
func (s *Sealer) Fingerprint() string { return s.fingerprint }

func fingerprint(key []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("fingerprint of an oddish key"))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

func decodeKey(key string) ([]byte, error) {
	key = strings.TrimSpace(key)
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if raw, err := decode(key); err == nil && len(raw) == keyBytes {
			return raw, nil
		}
	}
	return nil, errors.New("want 32 bytes in hex or base64: make one with `openssl rand -hex 32`")
}

// readOrMakeKey returns the file's content. Of several processes that make the file at once one wins, and all use its key.
func readOrMakeKey(path string) (string, error) {
	content, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return string(content), err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	raw := make([]byte, keyBytes)
	rand.Read(raw) // never fails
	temp := path + "." + rand.Text()
	if err := writeSynced(temp, hex.EncodeToString(raw)+"\n"); err != nil {
		return "", err
	}
	defer os.Remove(temp)
	// A link, unlike a rename, fails when the file has come into being meanwhile.
	if err := os.Link(temp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	content, err = os.ReadFile(path)
	return string(content), err
}

func writeSynced(path, content string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Seal encrypts a text for the named owner; only Unseal with the same owner gives it back.
func (s *Sealer) Seal(owner, text string) string {
	nonce := make([]byte, s.aead.NonceSize())
	rand.Read(nonce) // never fails
	sealed := s.aead.Seal(nonce, nonce, []byte(text), []byte(owner))
	return base64.RawStdEncoding.EncodeToString(sealed)
}

// Unseal decrypts what Seal gave.
func (s *Sealer) Unseal(owner, sealed string) (string, error) {
	raw, err := base64.RawStdEncoding.DecodeString(sealed)
	if err != nil || len(raw) < s.aead.NonceSize() {
		return "", fmt.Errorf("secrets of %s are damaged", owner)
	}
	nonce, ciphertext := raw[:s.aead.NonceSize()], raw[s.aead.NonceSize():]
	text, err := s.aead.Open(nil, nonce, ciphertext, []byte(owner))
	if err != nil {
		return "", fmt.Errorf("secrets of %s were sealed with another key: restore %s or ODDISH_SECRET_KEY", owner, KeyFile)
	}
	return string(text), nil
}
