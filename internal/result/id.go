package result

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
)

// NewUUID gives a random UUID (version 4).
func NewUUID() string {
	var b [16]byte
	rand.Read(b[:])
	return uuid(b, 4)
}

// UUIDFor gives the UUID (version 8) that stands for one of our ids where Harbor's files want a
// UUID; always the same for the same kind and id.
func UUIDFor(kind, id string) string {
	sum := sha256.Sum256([]byte("oddish\x00" + kind + "\x00" + id))
	return uuid([16]byte(sum[:16]), 8)
}

func uuid(b [16]byte, version byte) string {
	b[6] = b[6]&0x0f | version<<4
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
