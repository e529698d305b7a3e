package task

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// EnvironmentDigest is the content digest of environment/, 32 hex digits: the key under which
// an image built from it may be shared. It is Harbor's rule (names and contents, without .git,
// __pycache__ and .DS_Store; an empty folder counts as its docker_image or the task's folder name), and on top of
// it the execute bits and links, without which an image could be stale.
func (t *Task) EnvironmentDigest() (string, error) {
	return t.contextDigest(t.ContextDir(), t.Config.Environment.DockerImage)
}

// VerifierDigest is the same of the folder of which the image of a part's separate verifier is built.
func (t *Task) VerifierDigest(p *Part) (string, error) {
	return t.contextDigest(p.VerifierContext, "")
}

// contextDigest digests a build context; without content, image or the name of the task's folder stand for it.
func (t *Task) contextDigest(dir, image string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", fmt.Errorf("digest of the environment of %s: %w", t.Name, err)
	}
	defer root.Close()
	h := sha256.New()
	n, err := hashContext(h, root)
	if err != nil {
		return "", fmt.Errorf("digest of the environment of %s: %w", t.Name, err)
	}
	if n == 0 {
		io.WriteString(h, cmp.Or(image, filepath.Base(t.Dir)))
	}
	return hex.EncodeToString(h.Sum(nil))[:32], nil
}

// hashContext writes a build context to h and counts its files and links.
func hashContext(h hash.Hash, root *os.Root) (int, error) {
	var files, extra []string
	err := fs.WalkDir(root.FS(), ".", func(rel string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case rel == ".":
			return nil
		case slices.Contains([]string{".DS_Store", ".git", "__pycache__"}, d.Name()):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			target, err := root.Readlink(rel)
			extra = append(extra, "link\x00"+rel+"\x00"+target+"\n")
			return err
		case d.Type().IsRegular():
			files = append(files, rel)
			info, err := d.Info()
			if err == nil && info.Mode()&0o111 != 0 {
				extra = append(extra, "exec\x00"+rel+"\n")
			}
			return err
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	slices.Sort(files)
	for _, rel := range files {
		if err := hashContextFile(h, root, rel); err != nil {
			return 0, err
		}
	}
	slices.Sort(extra)
	for _, e := range extra {
		io.WriteString(h, e)
	}
	return len(files) + len(extra), nil
}

func hashContextFile(h hash.Hash, root *os.Root, rel string) error {
	info, err := root.Stat(rel)
	if err != nil {
		return err
	}
	if info.Size() > math.MaxUint32 {
		return fmt.Errorf("%s: files over 4 GiB are not supported in %s/", rel, EnvironmentDir)
	}
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(rel))))
	io.WriteString(h, rel)
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(info.Size())))
	return hashFile(h, root, rel)
}
