//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"fmt"
	"strings"

	"oddish/internal/sandbox"
)

// keepAlive is the command that an entrypoint is given, as docker sandboxes give theirs: one that ends in `exec "$@"` goes on with it, one that cleans up
// after its command is not made to.
const keepAlive = `trap "exit 0" TERM INT; while :; do sleep 3600 & wait $!; done`

// runEntrypoint starts the image's entrypoint beside what is run later, and does not wait for what it does. The sandbox does not live by it: one that ends, or
// that does not run the command it is given, is no error.
func (s *box) runEntrypoint(ctx context.Context) error {
	if len(s.rec.Entrypoint) == 0 {
		return nil
	}
	var words []string
	for _, w := range append(s.rec.Entrypoint, "sh", "-c", keepAlive) {
		words = append(words, sandbox.Quote(w))
	}
	_, err := s.Exec(ctx, sandbox.Command{Label: "entrypoint", Script: strings.Join(words, " ") + " </dev/null >/dev/null 2>&1 &"})
	if err != nil {
		return fmt.Errorf("start the image's entrypoint: %w", err)
	}
	return nil
}
