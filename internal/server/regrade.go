package server

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"oddish/api"
	"oddish/internal/blob"
	"oddish/internal/model"
	"oddish/internal/result"
	"oddish/internal/store"
)

// A trial that verifies another one's work again is that one's agent and model on a version of the same task.

// findRegrades fills in what the trials that are verified again tell, and refuses those that cannot be.
func (s *Server) findRegrades(ctx context.Context, task store.Task, sw *api.Sweep) error {
	for i := range sw.Configs {
		c := &sw.Configs[i]
		if !regrades(c) {
			continue
		}
		at := fmt.Sprintf("body.configs[%d].agent_config.regrade", i)
		source, err := s.db.Trial(ctx, c.AgentConfig.Regrade)
		if err != nil {
			return s.fail(ctx, "Trial "+c.AgentConfig.Regrade, err)
		}
		switch {
		case source.TaskID != task.ID:
			return refused(at, "trial %s is of task %s, not of %s", source.ID, source.TaskName, task.Name)
		case !source.Status.Terminal():
			return refused(at, "trial %s is %s: only one that has ended can be verified again", source.ID, source.Status)
		case source.TrialDir == "":
			return refused(at, "trial %s was cancelled before it began, and has left nothing", source.ID)
		}
		c.Agent, c.Model, c.NTrials = source.Agent, nil, 1
		if source.Model != model.Default {
			c.Model = &source.Model
		}
		c.AgentConfig = &api.AgentConfig{Regrade: source.ID}
	}
	return nil
}

func regrades(c *api.SweepConfig) bool { return c.AgentConfig != nil && c.AgentConfig.Regrade != "" }

// jobSource gives the folder of the trial that the job verifies again, as far as its verifier can want it, as a tar stream.
func (s *Server) jobSource(ctx context.Context, in *LeaseInput) (*huma.StreamResponse, error) {
	t, err := s.queue.Check(ctx, in.ID, in.Lease)
	if err != nil {
		return nil, s.fail(ctx, "job "+in.ID, err)
	}
	source, err := s.db.Trial(ctx, t.AgentConfig.Regrade)
	if errors.Is(err, store.ErrNotFound) {
		return nil, huma.NewError(http.StatusGone, "the trial that is to be verified again, "+t.AgentConfig.Regrade+", was deleted")
	}
	if err != nil {
		return nil, s.fail(ctx, "trial that job "+in.ID+" verifies again", err)
	}
	files, err := s.listFiles(ctx, source.TrialDir)
	if err != nil {
		return nil, s.fail(ctx, "files of trial "+source.ID, err)
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		hctx.SetHeader("Content-Type", "application/x-tar")
		if err := s.tarFiles(ctx, hctx.BodyWriter(), source.TrialDir, files); err != nil {
			s.log.WarnContext(ctx, "folder of a trial not sent", "trial", source.ID, "error", err)
			panic(http.ErrAbortHandler) // the answer has begun: only its being cut tells
		}
	}}, nil
}

// tarFiles writes the result, and what agent and artifacts left.
func (s *Server) tarFiles(ctx context.Context, w io.Writer, dir string, files []trialFile) error {
	out := tar.NewWriter(w)
	for _, f := range files {
		if f.path != result.ResultFile && !strings.HasPrefix(f.path, result.AgentDir+"/") && !strings.HasPrefix(f.path, result.ArtifactsDir+"/") {
			continue
		}
		if err := s.tarFile(ctx, out, path.Join(dir, f.path), f.path); err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
	}
	return out.Close()
}

func (s *Server) tarFile(ctx context.Context, out *tar.Writer, key, name string) error {
	r, info, err := s.blobs.Open(ctx, key)
	if errors.Is(err, blob.ErrNotFound) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	defer r.Close()
	if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: info.Size, Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err = io.CopyN(out, r, info.Size)
	return err
}
