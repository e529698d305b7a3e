//go:build !(linux && (amd64 || arm64))

package builtin

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"oddish/internal/sandbox"
)

// Provider cannot start anything on this system.
type Provider struct{}

var _ sandbox.Provider = (*Provider)(nil)

// New makes a Provider whose Check fails.
func New(Config) (*Provider, error) { return &Provider{}, nil }

// Dispatch returns false: no process of this system is a sandbox's.
func Dispatch() bool { return false }

// Kind is "builtin".
func (*Provider) Kind() string { return Kind }

// Capabilities are none.
func (*Provider) Capabilities() sandbox.Capabilities { return sandbox.Capabilities{} }

// Check says that this system has no builtin sandbox.
func (*Provider) Check(context.Context) error {
	return fmt.Errorf("builtin sandboxes need Linux on amd64 or arm64, and this is %s on %s: use docker (--env docker), or a worker on Linux: %w",
		runtime.GOOS, runtime.GOARCH, sandbox.ErrUnsupported)
}

// Start fails as Check does.
func (p *Provider) Start(ctx context.Context, _ sandbox.Spec) (sandbox.Sandbox, error) {
	return nil, p.Check(ctx)
}

// Attach finds nothing.
func (*Provider) Attach(_ context.Context, id string) (sandbox.Sandbox, error) {
	return nil, fmt.Errorf("builtin sandbox %s: %w", id, sandbox.ErrNotFound)
}

// List is empty.
func (*Provider) List(context.Context, string) ([]sandbox.Info, error) { return nil, nil }

// Images are none.
func (*Provider) Images(context.Context) ([]sandbox.ImageInfo, error) { return nil, nil }

// PruneImages has nothing to remove.
func (*Provider) PruneImages(context.Context, int64, time.Time) ([]sandbox.ImageInfo, error) {
	return nil, nil
}
