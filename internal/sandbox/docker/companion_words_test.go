package docker

import (
	"context"
	"errors"
	"strings"
	"testing"

	"oddish/internal/sandbox"
)

func TestWhatKeepsACompanionFromRunningIsNamedWithTheRemedy(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		`invalid mount config for type "bind": bind source path does not exist: /opt/oddish`:                      "run the worker on the engine's machine, or set ODDISH_DOCKER_BRIDGE=true",
		`error gathering device information while adding custom device "/dev/net/tun": no such file or directory`: "module tun",
		"enter the container's network: operation not permitted":                                                  "ODDISH_DOCKER_BRIDGE=true",
	} {
		err := notLinked(errors.New(said))
		if !strings.Contains(err.Error(), want) || !errors.Is(err, sandbox.ErrUnsupported) {
			t.Errorf("%q gives %v", said, err)
		}
	}
	if err := notLinked(context.DeadlineExceeded); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sandbox.ErrUnsupported) {
		t.Errorf("a slow engine gives %v", err)
	}
}
