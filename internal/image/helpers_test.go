package image

import (
	"encoding/base64"
	"io"
	"io/fs"
	"log"
	"math/rand/v2"
	"syscall"
)

func discard() *log.Logger { return log.New(io.Discard, "", 0) }

func uid(info fs.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Uid }

// randomText is text that cannot be compressed much.
func randomText(n int) string {
	r := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	r.Read(b) //nolint:errcheck // it never fails
	return base64.StdEncoding.EncodeToString(b)
}
