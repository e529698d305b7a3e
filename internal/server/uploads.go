package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"oddish/api"
	"oddish/internal/store"
)

// An upload has three steps. init says whether the content is new and where to put it; PUT stores
// the archive under a temporary key that its hash is part of; complete unpacks it, checks the hash and the
// task, moves it to its place and adds the version. The database hears of an upload only
// at the end, so one that was abandoned leaves nothing there, and version numbers are given
// out when they are used.

type uploadInitInput struct {
	Body api.UploadInit
	requestInfo
}

type uploadOutput struct{ Body api.Upload }

type uploadCompleteInput struct{ Body api.UploadComplete }

type putArchiveInput struct {
	TaskID  string `path:"id" maxLength:"128"`
	Version int    `path:"version" minimum:"1"`
	Hash    string `query:"hash" required:"true" pattern:"^[0-9a-f]{64}$" doc:"content hash given at init"`
	requestInfo
}

// requestInfo gives a handler the request and the response writer underneath.
type requestInfo struct {
	r *http.Request
	w http.ResponseWriter
}

// Resolve is called by huma with the request.
func (i *requestInfo) Resolve(ctx huma.Context) []error {
	i.r, i.w = humago.Unwrap(ctx)
	return nil
}

// baseURL is the address under which the client reached the server, "http://localhost:8000".
// Behind a proxy the scheme is what the proxy says; it is told only to who sent it.
func (i *requestInfo) baseURL() string {
	scheme := "http"
	if i.r.TLS != nil || i.r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return scheme + "://" + i.r.Host
}

func (s *Server) registerUploads(a huma.API) {
	huma.Register(a, op(http.MethodPost, "/tasks/upload/init", "tasks", "Begin to upload a version of a task, unless its content is known"), s.uploadInit)

	put := op(http.MethodPut, "/tasks/{id}/versions/{version}/archive", "tasks", "Upload the archive (gzip'd tar) of a version")
	put.DefaultStatus = http.StatusNoContent
	put.RequestBody = binaryBody("application/gzip")
	huma.Register(a, put, s.putArchive)

	huma.Register(a, op(http.MethodPost, "/tasks/upload/complete", "tasks", "Check an uploaded archive and make it the task's newest version"), s.uploadComplete)
}

// binaryBody describes a body that huma does not read.
func binaryBody(contentType string) *huma.RequestBody {
	return &huma.RequestBody{
		Required: true,
		Content:  map[string]*huma.MediaType{contentType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}},
	}
}

func (s *Server) uploadInit(ctx context.Context, in *uploadInitInput) (*uploadOutput, error) {
	s.uploads.sweepOld(ctx, s)
	name, err := taskName(in.Body.Name)
	if err != nil {
		return nil, err
	}
	task, err := s.db.TaskByName(ctx, name)
	known := err == nil
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, s.fail(ctx, "task "+name, err)
	}
	if !known {
		id := s.uploads.reserve(name, s.now(), func() string { return store.NewTaskID(name) })
		task = store.Task{ID: id, Name: name}
	}
	if known && task.Version > 0 {
		newest, err := s.db.Version(ctx, task.ID, task.Version)
		if err != nil {
			return nil, s.fail(ctx, "newest version of task "+task.ID, err)
		}
		if newest.ContentHash == in.Body.ContentHash {
			return &uploadOutput{Body: upload(task, newest, true, true)}, nil
		}
	}
	next := store.Version{
		ID: store.VersionID(task.ID, task.Version+1), TaskID: task.ID, Version: task.Version + 1,
		ContentHash: in.Body.ContentHash, ArchiveKey: archiveKey(task.ID, in.Body.ContentHash),
	}
	u := upload(task, next, known, false)
	s.invite(&u, in)
	return &uploadOutput{Body: u}, nil
}

// invite adds where and how the archive is to be put.
func (s *Server) invite(u *api.Upload, in *uploadInitInput) {
	target := fmt.Sprintf("%s/tasks/%s/versions/%d/archive?hash=%s", in.baseURL(), url.PathEscape(u.TaskID), u.Version, u.ContentHash)
	method := http.MethodPut
	u.UploadURL, u.UploadMethod, u.RequiresCompletion = &target, &method, true
	u.UploadHeaders["Content-Type"] = "application/gzip"
	if s.cfg.APIKey != "" {
		// Clients take upload_url for a signed one and send only these headers: hand their own key back to them.
		u.UploadHeaders["Authorization"] = in.r.Header.Get("Authorization")
	}
}

func (s *Server) putArchive(ctx context.Context, in *putArchiveInput) (*struct{}, error) {
	if !taskIDPattern.MatchString(in.TaskID) {
		return nil, huma.Error400BadRequest("malformed task id")
	}
	if err := s.receive(ctx, in.requestInfo, uploadKey(in.TaskID, in.Hash)); err != nil {
		return nil, s.fail(ctx, "archive of task "+in.TaskID, err)
	}
	return nil, nil
}

// receive stores a request's body as one blob.
func (s *Server) receive(ctx context.Context, in requestInfo, key string) error {
	body, err := s.limited(in)
	if err != nil {
		return err
	}
	_, err = s.blobs.Put(ctx, key, body)
	return s.bodyError(err)
}

func (s *Server) uploadComplete(ctx context.Context, in *uploadCompleteInput) (*uploadOutput, error) {
	c := in.Body
	name, err := taskName(c.Name)
	if err != nil {
		return nil, err
	}
	if !taskIDPattern.MatchString(c.TaskID) {
		return nil, huma.Error400BadRequest("malformed task id")
	}
	if !hashPattern.MatchString(c.ContentHash) {
		return nil, refused("body.content_hash", "expected 64 hex digits")
	}
	unlock := s.uploads.lock(name)
	defer unlock()
	task, err := s.taskForUpload(ctx, c.TaskID, name)
	if err != nil {
		return nil, err
	}
	existed := task.Version > 0
	if v, ok, err := s.alreadyThere(ctx, task, c.ContentHash); err != nil || ok {
		return &uploadOutput{Body: upload(task, v, true, false)}, err
	}
	staged := uploadKey(c.TaskID, c.ContentHash)
	if err := s.checkArchive(ctx, staged, name, c.ContentHash); err != nil {
		return nil, err
	}
	task, version, err := s.keepVersion(ctx, task, c, staged)
	if errors.Is(err, store.ErrConflict) {
		// Through another server the first upload under this name was completed meanwhile.
		if task, err = s.taskForUpload(ctx, c.TaskID, name); err != nil {
			return nil, err
		}
		existed = true
		task, version, err = s.keepVersion(ctx, task, c, staged)
	}
	if err != nil {
		return nil, s.fail(ctx, "version of task "+task.ID, err)
	}
	s.uploads.release(name)
	if err := s.blobs.Delete(ctx, staged); err != nil {
		s.log.WarnContext(ctx, "staged archive not removed", "key", staged, "error", err)
	}
	s.log.InfoContext(ctx, "task version stored", "task", task.ID, "version", version.Version)
	return &uploadOutput{Body: upload(task, version, existed, false)}, nil
}

// taskForUpload finds the task that the upload belongs to. Two clients that began to upload a task
// that did not exist have two ids for it: the first to complete gives it its id.
func (s *Server) taskForUpload(ctx context.Context, id, name string) (store.Task, error) {
	task, err := s.db.TaskByName(ctx, name)
	if err == nil || !errors.Is(err, store.ErrNotFound) {
		return task, s.failOrNil(ctx, "task "+name, err)
	}
	other, err := s.db.Task(ctx, id)
	if err == nil {
		return store.Task{}, huma.Error409Conflict(fmt.Sprintf("task %s is named %s, not %s", id, other.Name, name))
	}
	if !errors.Is(err, store.ErrNotFound) {
		return store.Task{}, s.fail(ctx, "task "+id, err)
	}
	return store.Task{ID: id, Name: name}, nil
}

func (s *Server) alreadyThere(ctx context.Context, task store.Task, hash string) (store.Version, bool, error) {
	if task.Version == 0 {
		return store.Version{}, false, nil
	}
	newest, err := s.db.Version(ctx, task.ID, task.Version)
	if err != nil {
		return store.Version{}, false, s.fail(ctx, "newest version of task "+task.ID, err)
	}
	return newest, newest.ContentHash == hash, nil
}

// keepVersion copies the staged archive to its place and then adds the version, so that a version that
// can be read always has its archive. The place follows from the content, not from the version's number, which another
// server may take meanwhile. store.ErrConflict when the task's name belongs to another id by now.
func (s *Server) keepVersion(ctx context.Context, task store.Task, c api.UploadComplete, staged string) (store.Task, store.Version, error) {
	key := archiveKey(task.ID, c.ContentHash)
	if err := s.copyBlob(ctx, staged, key); err != nil {
		return task, store.Version{}, err
	}
	message := ""
	if c.Message != nil {
		message = *c.Message
	}
	stored, version, err := s.db.AddVersion(ctx, task.ID, task.Name, c.ContentHash, message,
		func(int) string { return key })
	if errors.Is(err, store.ErrConflict) {
		if gone := s.blobs.Delete(ctx, key); gone != nil {
			s.log.WarnContext(ctx, "archive not removed", "key", key, "error", gone)
		}
	}
	if err != nil {
		return task, store.Version{}, err
	}
	return stored, version, nil
}

func (s *Server) copyBlob(ctx context.Context, from, to string) error {
	r, _, err := s.blobs.Open(ctx, from)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = s.blobs.Put(ctx, to, r)
	return err
}

func (s *Server) failOrNil(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	return s.fail(ctx, what, err)
}

func upload(t store.Task, v store.Version, existing, unchanged bool) api.Upload {
	return api.Upload{
		TaskID: t.ID, Name: t.Name, S3Key: v.ArchiveKey, Version: v.Version, VersionID: v.ID,
		ExistingTask: existing, ContentUnchanged: unchanged, ContentHash: v.ContentHash,
		UploadHeaders: map[string]string{},
	}
}

// taskPath names a version of a task on the wire. Where its archive is stored, task_s3_key says.
func taskPath(taskID string, n int) string { return fmt.Sprintf("tasks/%s/v%d.tar.gz", taskID, n) }

// archiveKey is where an archive is stored. Contents never share a key, so that servers which store two of them at the same
// time do not overwrite each other's.
func archiveKey(taskID, hash string) string { return fmt.Sprintf("tasks/%s/%s.tar.gz", taskID, hash) }
