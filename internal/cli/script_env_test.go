package cli_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"oddish/internal/sandbox/builtin"
)

// repository is the root of the source tree: tests run in the folder of their package.
var repository = func() string {
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		panic(err)
	}
	return dir
}()

// builtinWorks reports whether the builtin sandbox can be used on this machine.
var builtinWorks = sync.OnceValue(func() bool {
	dir, err := os.MkdirTemp("", "oddish-check-")
	if err != nil {
		return false
	}
	defer os.RemoveAll(dir)
	p, err := builtin.New(builtin.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return p.Check(ctx) == nil
})
