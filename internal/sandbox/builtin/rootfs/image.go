//go:build linux && (amd64 || arm64)

package rootfs

import (
	"errors"
	"fmt"
	"io/fs"

	"oddish/internal/image"
)

// Image plans a root of an image's file system, with what every sandbox has laid over it.
func Image(root, hostname, nameServer string) (Plan, error) {
	p := Plan{Base: root, Dirs: []Dir{
		{"/logs", 0o777}, {"/logs/agent", 0o777}, {"/logs/verifier", 0o777}, {"/logs/artifacts", 0o777},
		{"/proc", 0o755}, {"/sys", 0o755}, {"/dev", 0o755},
	}}
	// gVisor covers an empty /tmp with a file system in memory, which would be outside the storage limit.
	tmp, err := image.Resolve(root, "/tmp")
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && tmp == "tmp":
		p.Dirs = append(p.Dirs, Dir{"/tmp", fs.ModeSticky | 0o777}, Dir{"/tmp/.X11-unix", fs.ModeSticky | 0o777})
	case err != nil:
		return Plan{}, fmt.Errorf("look at the image's /tmp: %w", err)
	}
	p.Dirs = append(p.Dirs, Dir{"/etc", 0o755})
	for name, content := range map[string]string{
		"hostname":    hostname + "\n",
		"hosts":       "127.0.0.1\tlocalhost " + hostname + "\n::1\tlocalhost ip6-localhost ip6-loopback\n",
		"resolv.conf": "nameserver " + nameServer + "\n",
	} {
		p.Files = append(p.Files, File{Path: "/etc/" + name, Mode: 0o644, Content: []byte(content)})
	}
	return p, nil
}

// inImage says whether a path leads to something in the image.
func inImage(root, path string) bool {
	_, err := image.Resolve(root, path)
	return err == nil
}
