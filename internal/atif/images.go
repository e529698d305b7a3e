package atif

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// ImagesDir is the folder of a trajectory's pictures, beside it.
const ImagesDir = "images"

// maxImages bounds the pictures of one trajectory together, in bytes.
const maxImages = 64 << 20

// imageEndings are the media types that ATIF knows, with the endings of their files.
func imageEndings() map[string]string {
	return map[string]string{"image/jpeg": ".jpg", "image/png": ".png", "image/gif": ".gif", "image/webp": ".webp"}
}

// Images collects the pictures of a trajectory, which are kept in files beside it. The zero value is ready. It is not safe for concurrent use.
type Images struct {
	files map[string][]byte // by path, from the folder of the trajectory
	size  int
}

// Base64 gives the part for a picture, of which it keeps the data. What is no picture that ATIF knows, or too much, becomes a text that says so.
func (i *Images) Base64(mediaType, data string) Part {
	decoded, err := base64.StdEncoding.DecodeString(data)
	ending := imageEndings()[mediaType]
	switch {
	case ending == "" || err != nil || len(decoded) == 0:
		return TextPart("[" + orWord(mediaType, "image") + "]")
	case i.size+len(decoded) > maxImages:
		return TextPart(fmt.Sprintf("[%s of %d bytes, left out]", mediaType, len(decoded)))
	}
	sum := sha256.Sum256(decoded)
	name := path.Join(ImagesDir, hex.EncodeToString(sum[:8])+ending)
	if i.files == nil {
		i.files = map[string][]byte{}
	}
	if i.files[name] == nil {
		i.files[name] = decoded
		i.size += len(decoded)
	}
	return Part{Type: "image", Source: &Image{MediaType: mediaType, Path: name}}
}

// URL gives the part for a picture at an address; one whose data stands in the address (data:image/png;base64,...) is kept like others.
func (i *Images) URL(address string) Part {
	if rest, is := strings.CutPrefix(address, "data:"); is {
		head, data, _ := strings.Cut(rest, ",")
		mediaType, coding, _ := strings.Cut(head, ";")
		if coding != "base64" {
			data = ""
		}
		return i.Base64(mediaType, data)
	}
	bare, _, _ := strings.Cut(address, "?")
	for mediaType, ending := range imageEndings() {
		if strings.EqualFold(path.Ext(bare), ending) {
			return Part{Type: "image", Source: &Image{MediaType: mediaType, Path: address}}
		}
	}
	return TextPart("[image at " + address + "]")
}

// Write writes the files into the folder of the trajectory.
func (i *Images) Write(dir string) error {
	if i == nil || len(i.files) == 0 {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(dir, ImagesDir), 0o755); err != nil {
		return fmt.Errorf("write the trajectory's pictures: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(i.files)) {
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), i.files[name], 0o644); err != nil {
			return fmt.Errorf("write the trajectory's pictures: %w", err)
		}
	}
	return nil
}

func orWord(word, otherwise string) string {
	if word == "" {
		return otherwise
	}
	return word
}
