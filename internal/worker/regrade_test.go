package worker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"oddish/api"
	"oddish/client"
	"oddish/internal/result"
)

// sources gives a trial's folder: at the third question whole.
type sources struct {
	Server
	asked int
	gone  bool
}

func (s *sources) Source(context.Context, string, string) (io.ReadCloser, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "artifacts/a.txt", Mode: 0o644, Size: 5})
	_, _ = w.Write([]byte("hello"))
	_ = w.Close()
	s.asked++
	switch {
	case s.gone:
		return nil, &client.Error{Status: http.StatusGone}
	case s.asked == 1:
		return nil, &client.Error{Status: http.StatusBadGateway}
	case s.asked == 2:
		return io.NopCloser(io.MultiReader(bytes.NewReader(b.Bytes()[:600]), iotest.ErrReader(io.ErrUnexpectedEOF))), nil
	}
	return io.NopCloser(&b), nil
}

func TestAFormerTrialIsFetchedUntilItIsWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &doors{t: t}
		j := d.door("", func(s *api.TrialSpec) { s.AgentConfig.Regrade = "a-0" }).j
		server := &sources{}
		w := &Worker{c: Config{Server: server}}
		dir := t.TempDir()
		for range 2 { // the second time it is there
			source, err := w.fetchSource(j, dir)
			if err != nil {
				t.Fatal(err)
			}
			if text, err := os.ReadFile(filepath.Join(source, "artifacts", "a.txt")); string(text) != "hello" {
				t.Errorf("the artifact is %q, %v", text, err)
			}
		}
		if server.asked != 3 {
			t.Errorf("the server was asked %d times", server.asked)
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
			t.Errorf("the folder has %v, %v", files, err)
		}
		w.c.Server = &sources{gone: true}
		_, err := w.fetchSource(j, t.TempDir())
		var f *failure
		if !errors.As(err, &f) || f.kind != result.RegradeError || f.class != api.ClassPermanent {
			t.Errorf("a trial that is gone: %v", err)
		}
	})
}

func TestATrialWithAnAgentOfItsOwnFetchesNoFormerOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &doors{t: t}
		w := &Worker{}
		if source, err := w.fetchSource(d.door("", nil).j, t.TempDir()); source != "" || err != nil {
			t.Errorf("source is %q, %v", source, err)
		}
	})
}
