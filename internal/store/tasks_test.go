package store_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"oddish/internal/store"
	"oddish/internal/store/storetest"
)

func archiveKey(n int) string { return fmt.Sprintf("tasks/x/v%d.tar.gz", n) }

func TestNewTaskID(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, want string }{
		{"hello-world", "hello-world"},
		{"Hello  World!", "hello-world"},
		{"org/task_1.5", "org-task_1.5"},
		{"--", "task"},
		{"日本", "task"},
		{"..", "task"},
		{strings.Repeat("long-", 40), strings.Repeat("long-", 11)[:54]},
	}
	for _, tt := range tests {
		id := store.NewTaskID(tt.name)
		if !regexp.MustCompile(`^` + regexp.QuoteMeta(tt.want) + `-[0-9a-f]{8}$`).MatchString(id) {
			t.Errorf("id of %q is %q, want %s-<8 hex digits>", tt.name, id, tt.want)
		}
		if len(id) > 64 {
			t.Errorf("id of %q has %d characters", tt.name, len(id))
		}
	}
}

func TestAddVersion(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	ctx := t.Context()
	task, v1, err := db.AddVersion(ctx, "hello-1", "hello", "h1", "first", archiveKey)
	if err != nil || task.ID != "hello-1" || task.Name != "hello" || task.Version != 1 {
		t.Fatalf("task is %+v, %v", task, err)
	}
	if v1.ID != "hello-1-v1" || v1.Version != 1 || v1.ContentHash != "h1" || v1.ArchiveKey != archiveKey(1) || v1.Message != "first" {
		t.Errorf("version is %+v", v1)
	}
	if _, same, err := db.AddVersion(ctx, "hello-1", "hello", "h1", "again", archiveKey); err != nil || same != v1 {
		t.Errorf("the same content gives %+v, %v, want %+v", same, err, v1)
	}
	if task, v2, err := db.AddVersion(ctx, "hello-1", "hello", "h2", "", archiveKey); err != nil || v2.Version != 2 || task.Version != 2 {
		t.Errorf("other content gives %+v, %+v, %v", task, v2, err)
	}
	// Going back is a new version: the newest is what runs.
	if _, v3, err := db.AddVersion(ctx, "hello-1", "hello", "h1", "", archiveKey); err != nil || v3.Version != 3 {
		t.Errorf("the first content again gives %+v, %v", v3, err)
	}
	versions, err := db.Versions(ctx, "hello-1")
	if err != nil || len(versions) != 3 || versions[0] != v1 {
		t.Errorf("versions are %+v, %v", versions, err)
	}
	if v, err := db.Version(ctx, "hello-1", 1); err != nil || v != v1 {
		t.Errorf("version 1 is %+v, %v", v, err)
	}
	if _, err := db.Version(ctx, "hello-1", 4); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("version 4: %v", err)
	}
	if _, _, err := db.AddVersion(ctx, "hello-2", "hello", "h", "", archiveKey); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a second id for the name: %v", err)
	}
	if _, _, err := db.AddVersion(ctx, "hello-1", "other", "h", "", archiveKey); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a second name for the id: %v", err)
	}
}

func TestConcurrentVersionsHaveDifferentNumbers(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	var mu sync.Mutex
	seen := map[int]string{}
	var group sync.WaitGroup
	for i := range 12 {
		group.Go(func() {
			hash := fmt.Sprint("h", i/2) // each content twice
			_, v, err := db.AddVersion(t.Context(), "hello-1", "hello", hash, "", archiveKey)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if other, taken := seen[v.Version]; taken && other != hash {
				t.Errorf("version %d is both %s and %s", v.Version, other, hash)
			}
			seen[v.Version] = hash
		})
	}
	group.Wait()
	task, err := db.Task(t.Context(), "hello-1")
	if err != nil || task.Version != len(seen) {
		t.Errorf("task is %+v, %v, with versions %v", task, err, seen)
	}
}
