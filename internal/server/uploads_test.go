package server

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/task"
)

func TestAnUploadBecomesAVersion(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dir := taskDir(t, "hello", "one")
	hash := digest(t, dir)
	u := do[api.Upload](r, "POST", "/tasks/upload/init", api.UploadInit{Name: "hello", ContentHash: hash})
	if u.ExistingTask || u.ContentUnchanged || !u.RequiresCompletion || u.Version != 1 || u.VersionID != u.TaskID+"-v1" {
		t.Errorf("init of a new task: %+v", u)
	}
	if !strings.HasPrefix(*u.UploadURL, r.http.URL+"/tasks/"+u.TaskID+"/versions/1/archive?hash=") || u.UploadHeaders["Content-Type"] != "application/gzip" {
		t.Errorf("upload goes to %s with %v", *u.UploadURL, u.UploadHeaders)
	}
	packed := archive(t, dir)
	do[struct{}](r, "PUT", *u.UploadURL, packed)
	c := api.UploadComplete{TaskID: u.TaskID, Name: "hello", Version: 1, ContentHash: hash, Message: ptr("first")}
	done := do[api.Upload](r, "POST", "/tasks/upload/complete", c)
	if done.Version != 1 || done.TaskID != u.TaskID || done.S3Key != "tasks/"+u.TaskID+"/"+u.ContentHash+".tar.gz" || done.RequiresCompletion {
		t.Errorf("complete: %+v", done)
	}
	if r.blob(done.S3Key) != string(packed) {
		t.Error("the stored archive is not the uploaded one")
	}
	if again := do[api.Upload](r, "POST", "/tasks/upload/complete", c); again.Version != 1 {
		t.Errorf("complete repeated: %+v", again)
	}
	same := do[api.Upload](r, "POST", "/tasks/upload/init", api.UploadInit{Name: "hello", ContentHash: hash})
	if !same.ContentUnchanged || same.UploadURL != nil || same.RequiresCompletion || same.Version != 1 {
		t.Errorf("init of unchanged content: %+v", same)
	}
	two := r.upload("hello", "two")
	if two.TaskID != u.TaskID || two.Version != 2 || !two.ExistingTask {
		t.Errorf("second content: %+v", two)
	}
	versions := do[[]api.TaskVersion](r, "GET", "/tasks/"+u.TaskID+"/versions", nil)
	if len(versions) != 2 || *versions[0].Message != "first" || versions[0].ContentHash != hash {
		t.Errorf("versions: %+v", versions)
	}
	if v := do[api.TaskVersion](r, "GET", "/tasks/"+u.TaskID+"/versions/2", nil); v.Version != 2 || v.TaskS3Key != two.S3Key {
		t.Errorf("version 2: %+v", v)
	}
	r.refuses(404, "GET", "/tasks/"+u.TaskID+"/versions/3", nil)
	if left, err := r.blobs.List(context.Background(), uploadPrefix); err != nil || len(left) > 0 {
		t.Errorf("staged archives that remain: %v %v", left, err)
	}
}

func TestAnUploadMayBeNamedByThePythonClientsHash(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dir := taskDir(t, "old", "x")
	hash := must(task.LegacyHash(dir))
	u := do[api.Upload](r, "POST", "/tasks/upload/init", api.UploadInit{Name: "old", ContentHash: hash})
	do[struct{}](r, "PUT", *u.UploadURL, archive(t, dir))
	done := do[api.Upload](r, "POST", "/tasks/upload/complete", api.UploadComplete{TaskID: u.TaskID, Name: "old", Version: 1, ContentHash: hash})
	if done.ContentHash != hash {
		t.Errorf("stored as %s, want %s", done.ContentHash, hash)
	}
}

func TestAnAbandonedUploadLeavesNoRow(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dir := taskDir(t, "hello", "one")
	first := do[api.Upload](r, "POST", "/tasks/upload/init", api.UploadInit{Name: "hello", ContentHash: digest(t, dir)})
	do[struct{}](r, "PUT", *first.UploadURL, archive(t, dir))
	if tasks := do[[]api.Task](r, "GET", "/tasks", nil); len(tasks) > 0 {
		t.Errorf("tasks: %+v", tasks)
	}
	r.refuses(404, "GET", "/tasks/"+first.TaskID, nil)
	second := do[api.Upload](r, "POST", "/tasks/upload/init", api.UploadInit{Name: "hello", ContentHash: digest(t, dir)})
	if second.TaskID != first.TaskID || second.ExistingTask {
		t.Errorf("the next upload has id %s, the first %s", second.TaskID, first.TaskID)
	}
}

func TestAbandonedArchivesAreRemovedAfterADay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	old, young := uploadKey("old-12345678", strings.Repeat("a", 64)), uploadKey("young-12345678", strings.Repeat("b", 64))
	for _, key := range []string{old, young} {
		must(r.blobs.Put(t.Context(), key, strings.NewReader("x")))
	}
	past := time.Now().Add(-abandonedAfter - time.Minute)
	if err := os.Chtimes(filepath.Join(r.dir, filepath.FromSlash(old)), past, past); err != nil {
		t.Fatal(err)
	}
	do[api.Upload](r, "POST", "/tasks/upload/init", api.UploadInit{Name: "x", ContentHash: strings.Repeat("c", 64)})
	left := must(r.blobs.List(t.Context(), uploadPrefix))
	if len(left) != 1 || left[0].Key != young {
		t.Errorf("left: %v", left)
	}
}

func TestConcurrentUploadsOfOneTaskGetDistinctVersions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const n = 6
	type job struct {
		u       api.Upload
		archive []byte
		hash    string
	}
	jobs := make([]job, n)
	for i := range jobs { // all begin before any ends, on a task that does not exist
		dir := taskDir(t, "race", fmt.Sprint(i))
		jobs[i].archive, jobs[i].hash = archive(t, dir), digest(t, dir)
		jobs[i].u = do[api.Upload](r, "POST", "/tasks/upload/init", api.UploadInit{Name: "race", ContentHash: jobs[i].hash})
	}
	done := make([]api.Upload, n)
	var wg sync.WaitGroup
	for i, j := range jobs {
		wg.Go(func() {
			if status, text, _ := r.request("PUT", *j.u.UploadURL, j.archive); status != 204 {
				t.Errorf("put: %d %s", status, text)
				return
			}
			done[i] = do[api.Upload](r, "POST", "/tasks/upload/complete",
				api.UploadComplete{TaskID: j.u.TaskID, Name: "race", Version: j.u.Version, ContentHash: j.hash})
		})
	}
	wg.Wait()
	seen := map[int]bool{}
	for i, u := range done {
		if seen[u.Version] || u.Version < 1 || u.Version > n || u.TaskID != done[0].TaskID {
			t.Errorf("upload %d became version %d of %s", i, u.Version, u.TaskID)
		}
		seen[u.Version] = true
		if r.blob(u.S3Key) != string(jobs[i].archive) {
			t.Errorf("version %d has another upload's archive", u.Version)
		}
	}
}

func TestBadUploadsAreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.MaxUploadBytes = 4096 })
	good := taskDir(t, "good", "x")
	noTask := taskDir(t, "no-task", "x")
	if err := os.Remove(filepath.Join(noTask, "task.toml")); err != nil {
		t.Fatal(err)
	}
	broken := taskDir(t, "broken", "x")
	if err := os.WriteFile(filepath.Join(broken, "task.toml"), []byte("schema_version = \"1.4\"\nx = = 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		hash    string
		archive []byte
		want    string
	}{
		"no archive":            {digest(t, good), nil, "archive not found"},
		"not an archive":        {digest(t, good), []byte("hello"), "invalid archive"},
		"another hash":          {strings.Repeat("0", 64), archive(t, good), "not the announced"},
		"without task.toml":     {digest(t, noTask), archive(t, noTask), "task.toml"},
		"with broken task.toml": {digest(t, broken), archive(t, broken), "task.toml:2"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &rig{t: t, http: r.http}
			u := do[api.Upload](r, "POST", "/tasks/upload/init", api.UploadInit{Name: name, ContentHash: tc.hash})
			if tc.archive != nil {
				do[struct{}](r, "PUT", *u.UploadURL, tc.archive)
			}
			detail := r.refuses(400, "POST", "/tasks/upload/complete", api.UploadComplete{TaskID: u.TaskID, Name: name, Version: 1, ContentHash: tc.hash})
			contains(t, detail, tc.want)
		})
	}
	if tasks := do[[]api.Task](r, "GET", "/tasks", nil); len(tasks) > 0 {
		t.Errorf("refused uploads left %v", tasks)
	}
	left, err := os.ReadDir(r.s.cfg.TempDir)
	if err != nil || len(left) > 0 {
		t.Errorf("temporary folders that remain: %v %v", left, err)
	}
	u := do[api.Upload](r, "POST", "/tasks/upload/init", api.UploadInit{Name: "large", ContentHash: strings.Repeat("0", 64)})
	contains(t, r.refuses(413, "PUT", *u.UploadURL, bytes.Repeat([]byte("x"), 5000)), "larger than")
	r.refuses(422, "POST", "/tasks/upload/init", api.UploadInit{Name: "x", ContentHash: "nohash"})
	r.refuses(400, "POST", "/tasks/upload/init", api.UploadInit{Name: "...", ContentHash: strings.Repeat("0", 64)})
	r.refuses(400, "PUT", "/tasks/%2e%2e%2fx/versions/1/archive?hash="+strings.Repeat("0", 64), []byte("x"))
	r.refuses(400, "POST", "/tasks/upload/complete", api.UploadComplete{TaskID: "../x", Name: "x", Version: 1, ContentHash: strings.Repeat("0", 64)})
}

func TestAnUploadUnderAnotherTasksIDIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	u := r.upload("one", "x")
	dir := taskDir(t, "two", "y")
	c := api.UploadComplete{TaskID: u.TaskID, Name: "two", Version: 1, ContentHash: digest(t, dir)}
	contains(t, r.refuses(409, "POST", "/tasks/upload/complete", c), "is named one")
}

// Harbor test list #41
func TestTaskNamesAreCutToWhatIdsCanHold(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"hello": "hello", "org/hello": "hello", `C:\tasks\hello`: "hello", "/a/b/hello.tar.gz": "hello", "hello.tgz": "hello",
		"with space": "with-space", "Ünïcode": "n-code", "v1.2_x": "v1.2_x", "trailing/": "trailing",
	} {
		if got, err := taskName(given); got != want || err != nil {
			t.Errorf("%q became %q (%v), want %q", given, got, err, want)
		}
	}
	for _, given := range []string{"", "/", "...", "é"} {
		if got, err := taskName(given); err == nil {
			t.Errorf("%q became %q", given, got)
		}
	}
}
