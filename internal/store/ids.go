package store

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
)

const maxTaskID = 64

// NewTaskID draws an id <normalised name>-<8 hex digits> of at most 64 characters. The normalised name is in lower case and has
// a dash for each run of characters other than a-z, 0-9, "_" and ".".
func NewTaskID(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_', r == '.':
			b.WriteRune(r)
		case !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	suffix := "-" + NewID()
	slug := b.String()
	slug = strings.Trim(slug[:min(len(slug), maxTaskID-len(suffix))], "-.")
	if slug == "" {
		slug = "task"
	}
	return slug + suffix
}

// NewID draws 8 hex digits, the form of an experiment's id.
func NewID() string {
	raw := make([]byte, 4)
	rand.Read(raw) // never fails
	return hex.EncodeToString(raw)
}

// VersionID is the id of a version of a task.
func VersionID(taskID string, version int) string {
	return taskID + "-v" + strconv.Itoa(version)
}
