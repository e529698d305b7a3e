//go:build linux && (amd64 || arm64)

// Package rootfs builds the root directory of a sandbox out of parts: read-only
// binds of this machine's own directories, generated files, empty directories,
// and covers over what must not be seen.
//
// It only decides and mounts. What is written inside a sandbox goes to a layer of
// gVisor's above this root; nothing here is ever written to. The caller (the shim
// of package builtin) must have a mount namespace of its own.
package rootfs

import "io/fs"

// Plan says what a root directory is made of. All targets are absolute paths in
// the new root; the parts must be given so that parents come before children.
type Plan struct {
	// Base is the root file system of an image, which lies under all other parts; empty: there is none.
	Base  string
	Binds []Bind
	Links []Link
	Dirs  []Dir
	Files []File
	// Covers are paths below binds that are made to look empty.
	Covers []Cover
}

// Bind shows a directory of this machine read-only, with what is mounted below it.
type Bind struct{ Source, Target string }

// Link is a symbolic link.
type Link struct{ Target, To string }

// Dir is an empty directory with exactly this mode.
type Dir struct {
	Path string
	Mode fs.FileMode
}

// File is a small generated file.
type File struct {
	Path    string
	Mode    fs.FileMode
	Content []byte
}

// Cover hides a file or a directory below a bind under an empty one.
type Cover struct {
	Path string
	Dir  bool
}
