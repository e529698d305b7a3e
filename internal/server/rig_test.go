package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oddish/api"
	"oddish/internal/blob"
	"oddish/internal/queue"
	"oddish/internal/store"
	"oddish/internal/store/storetest"
	"oddish/internal/task"
)

// rig is a whole server on a database and a blob folder of its own.
type rig struct {
	t     *testing.T
	s     *Server
	http  *httptest.Server
	db    *store.DB
	queue *queue.Queue
	blobs *blob.Local
	dir   string // of the blobs
	key   string // sent with each request
}

func newRig(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, db: storetest.Open(t), dir: t.TempDir()}
	sealer, err := store.OpenSealer(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	r.queue = queue.New(r.db, queue.Options{Sealer: sealer})
	if r.blobs, err = blob.NewLocal(r.dir); err != nil {
		t.Fatal(err)
	}
	c := Config{
		DB: r.db, Queue: r.queue, Blobs: r.blobs, Version: "test", Environment: "fake", TempDir: t.TempDir(),
		Log: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&c)
	}
	r.key = c.APIKey
	if r.s, err = New(c); err != nil {
		t.Fatal(err)
	}
	r.http = httptest.NewServer(r.s.Handler())
	t.Cleanup(func() {
		r.http.Close()
		if err := r.s.Close(); err != nil {
			t.Errorf("close server: %v", err)
		}
	})
	return r
}

// request sends a request and gives status, body and headers.
func (r *rig) request(method, path string, body any, headers ...string) (int, string, http.Header) {
	r.t.Helper()
	var reader io.Reader
	contentType := ""
	switch b := body.(type) {
	case nil:
	case []byte:
		reader = bytes.NewReader(b)
	case string:
		reader, contentType = strings.NewReader(b), "application/json"
	default:
		data, err := json.Marshal(b)
		if err != nil {
			r.t.Fatal(err)
		}
		reader, contentType = bytes.NewReader(data), "application/json"
	}
	if !strings.HasPrefix(path, "http") {
		path = r.http.URL + path
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, path, reader)
	if err != nil {
		r.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if r.key != "" {
		req.Header.Set("Authorization", "Bearer "+r.key)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(data), resp.Header
}

// do sends a request that must succeed and reads the answer.
func do[T any](r *rig, method, path string, body any, headers ...string) T {
	r.t.Helper()
	status, text, _ := r.request(method, path, body, headers...)
	if status < 200 || status > 299 {
		r.t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	var v T
	if text == "" {
		return v
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		r.t.Fatalf("%s %s: %v in %s", method, path, err, text)
	}
	return v
}

// refuses sends a request that must fail, and gives the detail of the problem.
func (r *rig) refuses(status int, method, path string, body any, headers ...string) string {
	r.t.Helper()
	got, text, h := r.request(method, path, body, headers...)
	if got != status {
		r.t.Fatalf("%s %s: got %d, want %d: %s", method, path, got, status, text)
	}
	if kind := h.Get("Content-Type"); kind != "application/problem+json" {
		r.t.Fatalf("%s %s: an error of type %q: %s", method, path, kind, text)
	}
	var p api.Problem
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		r.t.Fatal(err)
	}
	if p.Status != status || p.Detail == "" {
		r.t.Fatalf("%s %s: incomplete problem: %s", method, path, text)
	}
	return p.Detail
}

// taskDir writes a small task; content makes it differ.
func taskDir(t *testing.T, name, content string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	for path, text := range map[string]string{
		"task.toml": "schema_version = \"1.4\"\n", "instruction.md": content, "environment/Dockerfile": "FROM scratch\n",
		"tests/test.sh": "#!/bin/sh\necho 1 > /logs/verifier/reward.txt\n", "solution/solve.sh": "#!/bin/sh\n",
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func archive(t *testing.T, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := task.Pack(&b, dir); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func digest(t *testing.T, dir string) string {
	t.Helper()
	d, err := task.Digest(dir)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// upload uploads a task in all three steps.
func (r *rig) upload(name, content string) api.Upload {
	r.t.Helper()
	dir := taskDir(r.t, name, content)
	hash := digest(r.t, dir)
	u := do[api.Upload](r, "POST", "/tasks/upload/init", api.UploadInit{Name: name, ContentHash: hash})
	if u.ContentUnchanged {
		return u
	}
	do[struct{}](r, *u.UploadMethod, *u.UploadURL, archive(r.t, dir))
	return do[api.Upload](r, "POST", "/tasks/upload/complete",
		api.UploadComplete{TaskID: u.TaskID, Name: u.Name, Version: u.Version, ContentHash: hash})
}

// submit uploads a task and submits n trials of it to a new experiment of that name.
func (r *rig) submit(name string, n int) api.Submitted {
	r.t.Helper()
	u := r.upload(name, "do "+name)
	experiment := "of-" + name
	return do[api.Submitted](r, "POST", "/tasks/sweep", api.Sweep{
		TaskID: u.TaskID, User: "me", ExperimentID: &experiment, Configs: []api.SweepConfig{{Agent: "oracle", NTrials: n}},
	})
}

// claim takes up to n trials as a worker.
func (r *rig) claim(n int) []api.Job {
	r.t.Helper()
	return do[api.Claimed](r, "POST", "/worker/v1/claim", api.Claim{WorkerID: "w1", Hostname: "h", Version: "test", Slots: n, Sandboxes: []string{"fake"}}).Jobs
}

func jobPath(j api.Job, rest string) string {
	return "/worker/v1/jobs/" + url.PathEscape(j.ID) + "/" + rest
}

func (r *rig) putFile(j api.Job, path, content string) {
	r.t.Helper()
	do[struct{}](r, "PUT", jobPath(j, "files/"+path), []byte(content), api.LeaseHeader, j.Lease)
}

func (r *rig) finish(j api.Job, f api.Finish) api.FinishAck {
	r.t.Helper()
	return do[api.FinishAck](r, "POST", jobPath(j, "finish"), f, api.LeaseHeader, j.Lease)
}

func passed() api.Finish {
	return api.Finish{Outcome: api.StatusSuccess, Rewards: map[string]float64{"reward": 1}}
}

func (r *rig) blob(key string) string {
	r.t.Helper()
	f, _, err := r.blobs.Open(context.Background(), key)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(data)
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in %q", part, text)
		}
	}
}

func ptr[T any](v T) *T { return &v }

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprint("test set-up: ", err))
	}
	return v
}

func containsAny(text string, parts ...string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}
