package client

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"oddish/api"
)

func TestListsAreGatheredOverAllPages(t *testing.T) {
	t.Parallel()
	c := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/experiments/e/trials" {
			t.Errorf("path %s", r.URL.Path)
		}
		switch r.URL.Query().Get("cursor") {
		case "":
			reply(w, 200, map[string]any{"items": []api.Trial{{ID: "1"}, {ID: "2"}}, "next_cursor": "a"})
		case "a":
			reply(w, 200, map[string]any{"items": []api.Trial{{ID: "3"}}, "next_cursor": nil})
		}
	})
	trials, err := c.ExperimentTrials(t.Context(), "e")
	if err != nil || len(trials) != 3 || trials[2].ID != "3" {
		t.Errorf("%+v %v", trials, err)
	}
}

func TestACursorThatDoesNotMoveIsAnError(t *testing.T) {
	t.Parallel()
	c := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		reply(w, 200, map[string]any{"items": []api.Experiment{{ID: "1"}}, "next_cursor": "same"})
	})
	if _, err := c.Experiments(t.Context()); err == nil || !strings.Contains(err.Error(), "same cursor twice") {
		t.Errorf("error %v", err)
	}
}

func TestTasksAreGatheredByOffsetAndOnce(t *testing.T) {
	t.Parallel()
	const total = 250
	c := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("user") != "ann" || q.Get("include_trials") != "false" {
			t.Errorf("query %v", q)
		}
		offset, _ := strconv.Atoi(q.Get("offset"))
		if offset > 0 {
			offset-- // a task was added in front between the pages
		}
		limit, _ := strconv.Atoi(q.Get("limit"))
		tasks := []api.Task{}
		for i := offset; i < min(offset+limit, total); i++ {
			tasks = append(tasks, api.Task{ID: fmt.Sprint(i)})
		}
		reply(w, 200, tasks)
	})
	tasks, err := c.Tasks(t.Context(), TasksQuery{User: "ann"})
	if err != nil || len(tasks) != total {
		t.Errorf("%d tasks, error %v", len(tasks), err)
	}
	tasks, err = c.Tasks(t.Context(), TasksQuery{User: "ann", Limit: 120})
	if err != nil || len(tasks) != 120 {
		t.Errorf("%d tasks, error %v, want 120", len(tasks), err)
	}
}

func archive(t *testing.T, content string) func() (io.ReadCloser, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "a.tar.gz")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return func() (io.ReadCloser, error) { return os.Open(name) }
}

func TestAnArchiveIsSentWithItsLengthAndAgainAfterABreak(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	c := serve(t, Options{APIKey: "ok_k"}, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 1 {
			_, _ = io.CopyN(io.Discard, r.Body, 3)
			panic(http.ErrAbortHandler)
		}
		body, _ := io.ReadAll(r.Body)
		if string(body) != "content" || r.ContentLength != 7 || r.Method != http.MethodPut {
			t.Errorf("%s %q, length %d", r.Method, body, r.ContentLength)
		}
		if r.URL.RequestURI() != "/tasks/a-1/versions/2/archive?hash=ff" || r.Header.Get("Content-Type") != "application/gzip" {
			t.Errorf("%s %v", r.URL.RequestURI(), r.Header)
		}
		if r.Header.Get("Authorization") != "Bearer ok_k" {
			t.Errorf("authorization %q", r.Header.Get("Authorization"))
		}
		w.WriteHeader(http.StatusNoContent)
	})
	// The server thinks that it has another name: the client's is used.
	address := "http://internal:8000/tasks/a-1/versions/2/archive?hash=ff"
	up := api.Upload{TaskID: "a-1", Version: 2, UploadURL: &address}
	if err := c.PutArchive(t.Context(), up, archive(t, "content")); err != nil || n.Load() != 2 {
		t.Errorf("error %v after %d tries", err, n.Load())
	}
}

func TestAForeignUploadAddressIsUsedAsItIsAndGetsNoKey(t *testing.T) {
	t.Parallel()
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RequestURI() != "/bucket/a.tar.gz?X-Signature=a%2Bb" || r.Header.Get("Authorization") != "" || r.Header.Get("X-Acl") != "private" {
			t.Errorf("%s %v", r.URL.RequestURI(), r.Header)
		}
	}))
	defer store.Close()
	address := store.URL + "/bucket/a.tar.gz?X-Signature=a%2Bb"
	up := api.Upload{TaskID: "a", Version: 1, UploadURL: &address, UploadHeaders: map[string]string{"X-Acl": "private"}}
	c := New("http://127.0.0.1:1", Options{APIKey: "ok_k"})
	if err := c.PutArchive(t.Context(), up, archive(t, "content")); err != nil {
		t.Error(err)
	}
}

func TestARelativeUploadAddressIsBelowTheBase(t *testing.T) {
	t.Parallel()
	c := New("http://h/oddish", Options{})
	for _, address := range []string{"/tasks/a/versions/1/archive?hash=1", "/oddish/tasks/a/versions/1/archive?hash=1"} {
		req, err := c.archiveCall(api.Upload{TaskID: "a", Version: 1, UploadURL: &address})
		if got := c.address(req); err != nil || got != "http://h/oddish/tasks/a/versions/1/archive?hash=1" {
			t.Errorf("%s: %s %v", address, got, err)
		}
	}
	if _, err := c.archiveCall(api.Upload{TaskID: "a"}); err == nil {
		t.Error("no error without an upload_url")
	}
}

func TestPutFileReplacesOrWritesAtAnOffset(t *testing.T) {
	t.Parallel()
	type request struct {
		uri, lease, body string
		length           int64
	}
	var got request
	c := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = request{r.URL.RequestURI(), r.Header.Get(api.LeaseHeader), string(body), r.ContentLength}
		w.WriteHeader(http.StatusNoContent)
	})
	for _, tc := range []struct {
		offset int64
		r      io.Reader
		want   request
	}{
		{Replace, strings.NewReader("abc"), request{"/worker/v1/jobs/j/files/agent/a%20b.txt", "L", "abc", 3}},
		{0, bytes.NewReader(nil), request{"/worker/v1/jobs/j/files/agent/a%20b.txt?offset=0", "L", "", 0}},
		{7, io.LimitReader(strings.NewReader("xyz"), 2), request{"/worker/v1/jobs/j/files/agent/a%20b.txt?offset=7", "L", "xy", -1}},
	} {
		if err := c.PutFile(t.Context(), "j", "L", "agent/a b.txt", tc.offset, tc.r); err != nil {
			t.Fatal(err)
		}
		if got != tc.want {
			t.Errorf("%+v, want %+v", got, tc.want)
		}
	}
}

func TestATaskArchiveIsStreamedAndABreakInItIsNamed(t *testing.T) {
	t.Parallel()
	c := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "abc")
	})
	r, err := c.TaskArchive(t.Context(), "j", "L")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if string(data) != "abc" || !Unreachable(err) || !strings.Contains(err.Error(), "/worker/v1/jobs/j/task") {
		t.Errorf("%q, error %v", data, err)
	}
}

func TestExperimentsArePausedByTheirName(t *testing.T) {
	t.Parallel()
	var got []string
	c := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Method+" "+r.URL.Path)
		reply(w, 200, api.Experiment{ID: "e1", Paused: strings.HasSuffix(r.URL.Path, "/pause")})
	})
	paused, err := c.PauseExperiment(t.Context(), "my experiment")
	if err != nil || !paused.Paused {
		t.Errorf("%+v %v", paused, err)
	}
	resumed, err := c.ResumeExperiment(t.Context(), "my experiment")
	if err != nil || resumed.Paused {
		t.Errorf("%+v %v", resumed, err)
	}
	if want := []string{"POST /experiments/my experiment/pause", "POST /experiments/my experiment/resume"}; !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}
