package blob

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of a key, in bytes: those of S3 and of common file systems.
const (
	maxKey     = 1024
	maxSegment = 255
)

// tempFolder holds what Local is still writing; no key may begin with it, in any Store.
const tempFolder = ".oddish-tmp"

// ValidKey returns nil for a clean relative slash path ("a/b.txt"), otherwise an error that is
// ErrInvalidKey and says what is wrong.
func ValidKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: it is empty", ErrInvalidKey)
	case len(key) > maxKey:
		return fmt.Errorf("%w: %.40q... has %d bytes, more than %d", ErrInvalidKey, key, len(key), maxKey)
	case !utf8.ValidString(key):
		return fmt.Errorf("%w: %q is not UTF-8", ErrInvalidKey, key)
	case strings.ContainsAny(key, "\x00\\"):
		return fmt.Errorf("%w: %q has a NUL or a backslash", ErrInvalidKey, key)
	}
	for i, segment := range strings.Split(key, "/") {
		switch {
		case segment == "" || segment == "." || segment == "..":
			return fmt.Errorf("%w: %q has an empty, \".\" or \"..\" segment", ErrInvalidKey, key)
		case len(segment) > maxSegment:
			return fmt.Errorf("%w: a segment of %.40q... has %d bytes, more than %d", ErrInvalidKey, key, len(segment), maxSegment)
		case i == 0 && segment == tempFolder:
			return fmt.Errorf("%w: %q begins with a reserved name", ErrInvalidKey, key)
		}
	}
	return nil
}
