package trial

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/fake"
)

// builder is a provider whose builds say something and fail.
type builder struct {
	*fake.Provider
	says string
}

func (b builder) Start(_ context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	_, _ = io.WriteString(spec.BuildLog, b.says)
	return nil, sandbox.ErrBuild
}

func TestWhatABuildSaysIsInTheTrialsFolder(t *testing.T) {
	t.Parallel()
	r := &run{Config: Config{Provider: builder{fake.New(), "step 1\n"}}, dir: t.TempDir(), log: slog.New(slog.DiscardHandler)}
	path := filepath.Join(r.dir, "build.log")
	for _, want := range []string{"step 1\n", "step 1\nstep 1\n"} { // the verifier's comes after the agent's
		if _, err := r.startBox(t.Context(), sandbox.Spec{}); !errors.Is(err, sandbox.ErrBuild) {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("the file has %q, %v, want %q", got, err, want)
		}
	}
}

func TestThereIsNoBuildLogWhereNothingIsBuilt(t *testing.T) {
	t.Parallel()
	r := &run{Config: Config{Provider: fake.New()}, dir: t.TempDir(), log: slog.New(slog.DiscardHandler)}
	if _, err := r.startBox(t.Context(), sandbox.Spec{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(r.dir); err != nil || len(left) > 0 {
		t.Errorf("the folder has %v, %v", left, err)
	}
}

func TestABuildLogThatCannotBeWrittenFailsNothing(t *testing.T) {
	t.Parallel()
	l := &lateFile{path: filepath.Join(t.TempDir(), "none", "build.log")}
	for range 2 {
		if _, err := l.Write([]byte("x")); err == nil || l.err == nil {
			t.Error("it was written")
		}
	}
	l.close()
}
