package server

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"oddish/api"
	"oddish/internal/store"
)

func TestAnOutageOfTheDatabaseIsNotTheServersFault(t *testing.T) {
	t.Parallel()
	s := newRig(t).s
	for _, test := range []struct {
		err  error
		want int
	}{
		{fmt.Errorf("read: %w", driver.ErrBadConn), 503},
		{fmt.Errorf("%w: %w", store.ErrUnavailable, io.EOF), 503},
		{fmt.Errorf("%w: %w", store.ErrUnknown, io.EOF), 504},
		{errors.New("a bug"), 500},
	} {
		var got huma.StatusError
		if !errors.As(s.fail(t.Context(), "thing", test.err), &got) || got.GetStatus() != test.want {
			t.Errorf("%v: %v", test.err, got)
		}
	}
}

// beside is a second server on the database and blobs of r.
func beside(t *testing.T, r *rig) *rig {
	t.Helper()
	return newRig(t, func(c *Config) { c.DB, c.Queue, c.Blobs = r.db, r.queue, r.blobs })
}

func TestFirstUploadsOfOneNameThroughTwoServersMeet(t *testing.T) {
	t.Parallel()
	a := newRig(t)
	b := beside(t, a)
	var group sync.WaitGroup
	done := make([]api.Upload, 2)
	begun := make([]api.Upload, 2)
	rigs := []*rig{a, b}
	for i, r := range rigs { // both begin before one completes, so there are two ids
		dir := taskDir(t, "meet", fmt.Sprint("content ", i))
		begun[i] = do[api.Upload](r, "POST", "/tasks/upload/init", api.UploadInit{Name: "meet", ContentHash: digest(t, dir)})
		other := rigs[1-i] // the archive goes to the other server
		do[struct{}](other, "PUT", fmt.Sprintf("/tasks/%s/versions/1/archive?hash=%s", begun[i].TaskID, begun[i].ContentHash), archive(t, dir))
	}
	for i, r := range rigs {
		group.Go(func() {
			done[i] = do[api.Upload](r, "POST", "/tasks/upload/complete",
				api.UploadComplete{TaskID: begun[i].TaskID, Name: "meet", Version: 1, ContentHash: begun[i].ContentHash})
		})
	}
	group.Wait()
	if done[0].TaskID != done[1].TaskID || done[0].Version+done[1].Version != 3 {
		t.Fatalf("uploads: %+v", done)
	}
	for i, d := range done {
		v, err := a.db.Version(t.Context(), d.TaskID, d.Version)
		if err != nil || v.ContentHash != begun[i].ContentHash || a.blob(v.ArchiveKey) == "" {
			t.Errorf("version %+v, %v", v, err)
		}
	}
	if a.blob(done[0].S3Key) == a.blob(done[1].S3Key) {
		t.Error("the two versions have one archive")
	}
}
