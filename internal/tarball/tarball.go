// Package tarball packs a folder into a deterministic tar stream and unpacks tar
// streams from untrusted sources without letting any of them out of their folder.
//
// Both the task archives that clients upload and the directories that are fetched out
// of sandboxes pass through it. It imports nothing of ours.
package tarball
