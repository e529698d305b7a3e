package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"oddish/api"
	"oddish/internal/store"
)

type versionsOutput struct{ Body []api.TaskVersion }

type versionInput struct {
	ID      string `path:"id" maxLength:"128"`
	Version int    `path:"version" minimum:"1"`
}

type versionOutput struct{ Body api.TaskVersion }

func (s *Server) registerVersions(a huma.API) {
	huma.Register(a, op(http.MethodGet, "/tasks/{id}/versions", "tasks", "Versions of a task"), s.versions)
	huma.Register(a, op(http.MethodGet, "/tasks/{id}/versions/{version}", "tasks", "One version of a task"), s.version)
}

func (s *Server) versions(ctx context.Context, in *taskIDInput) (*versionsOutput, error) {
	if _, err := s.db.Task(ctx, in.ID); err != nil {
		return nil, s.fail(ctx, "Task "+in.ID, err)
	}
	rows, err := s.db.Versions(ctx, in.ID)
	if err != nil {
		return nil, s.fail(ctx, "versions of task "+in.ID, err)
	}
	out := make([]api.TaskVersion, len(rows))
	for i, v := range rows {
		out[i] = wireVersion(v)
	}
	return &versionsOutput{Body: out}, nil
}

func (s *Server) version(ctx context.Context, in *versionInput) (*versionOutput, error) {
	v, err := s.db.Version(ctx, in.ID, in.Version)
	if err != nil {
		return nil, s.fail(ctx, "Version "+store.VersionID(in.ID, in.Version), err)
	}
	return &versionOutput{Body: wireVersion(v)}, nil
}

func wireVersion(v store.Version) api.TaskVersion {
	key := v.ArchiveKey
	return api.TaskVersion{
		ID: v.ID, TaskID: v.TaskID, Version: v.Version, TaskPath: &key, TaskS3Key: key,
		ContentHash: v.ContentHash, Message: present(v.Message), CreatedAt: v.CreatedAt.UTC(),
	}
}
