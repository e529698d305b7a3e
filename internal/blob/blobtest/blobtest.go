// Package blobtest is the conformance suite of blob.Store: every implementation passes it.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"oddish/internal/blob"
)

// Run tests the stores that open returns, each a fresh and empty one.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	t.Helper()
	tests := []struct {
		name string
		test func(t *testing.T, s blob.Store)
	}{
		{"put and open give the same bytes", putOpen},
		{"put replaces the whole blob", putReplaces},
		{"a failing put keeps the old blob", putFails},
		{"readers of a blob that is replaced see one version", putAtomic},
		{"open reads from anywhere", openSeeks},
		{"what is not there is ErrNotFound", notFound},
		{"keys that are no clean paths are refused", invalidKeys},
		{"unusual keys are kept", unusualKeys},
		{"write at grows a blob", writeAt},
		{"a repeated chunk changes nothing", writeAtRepeats},
		{"write at leaves no gap", writeAtGap},
		{"list is sorted and bounded by the prefix", list},
		{"delete takes what lies below and nothing else", deletes},
		{"a blob can be put where one was deleted", putAfterDelete},
		{"an ended context stops the work", cancelled},
		{"puts and deletes side by side never fail", concurrent},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.test(t, open(t))
		})
	}
}

func put(t *testing.T, s blob.Store, key, content string) {
	t.Helper()
	n, err := s.Put(t.Context(), key, strings.NewReader(content))
	if err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
	if n != int64(len(content)) {
		t.Fatalf("put %q wrote %d bytes, want %d", key, n, len(content))
	}
}

func read(t *testing.T, s blob.Store, key string) string {
	t.Helper()
	r, info, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatalf("open %q: %v", key, err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read %q: %v", key, err)
	}
	if info.Key != key || info.Size != int64(len(content)) {
		t.Errorf("info of %q is %+v for %d bytes", key, info, len(content))
	}
	return string(content)
}

func want(t *testing.T, s blob.Store, key, content string) {
	t.Helper()
	if got := read(t, s, key); got != content {
		t.Errorf("%q holds %q, want %q", key, got, content)
	}
}

func keys(t *testing.T, s blob.Store, prefix string) []string {
	t.Helper()
	infos, err := s.List(t.Context(), prefix)
	if err != nil {
		t.Fatalf("list %q: %v", prefix, err)
	}
	keys := []string{}
	for _, info := range infos {
		keys = append(keys, info.Key)
	}
	return keys
}

func putOpen(t *testing.T, s blob.Store) {
	before := time.Now().Add(-time.Minute)
	put(t, s, "jobs/e/t__abc/result.json", `{"reward": 1}`)
	put(t, s, "empty", "")
	want(t, s, "jobs/e/t__abc/result.json", `{"reward": 1}`)
	want(t, s, "empty", "")
	r, info, err := s.Open(t.Context(), "empty")
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if info.ModTime.Before(before) || info.ModTime.After(time.Now().Add(time.Minute)) {
		t.Errorf("modification time is %v", info.ModTime)
	}
}

func putReplaces(t *testing.T, s blob.Store) {
	put(t, s, "k", "a long first content")
	put(t, s, "k", "short")
	want(t, s, "k", "short")
	if got := keys(t, s, ""); !slices.Equal(got, []string{"k"}) {
		t.Errorf("the store holds %q", got)
	}
}

func putFails(t *testing.T, s blob.Store) {
	broken := errors.New("connection cut")
	put(t, s, "k", "old")
	for _, key := range []string{"k", "new"} {
		r := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken))
		if _, err := s.Put(t.Context(), key, r); !errors.Is(err, broken) {
			t.Errorf("put from a failing reader: %v", err)
		}
	}
	want(t, s, "k", "old")
	if got := keys(t, s, ""); !slices.Equal(got, []string{"k"}) {
		t.Errorf("the store holds %q", got)
	}
}

func putAtomic(t *testing.T, s blob.Store) {
	versions := []string{strings.Repeat("a", 100_000), strings.Repeat("b", 200_000)}
	put(t, s, "k", versions[0])
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := range 20 {
			put(t, s, "k", versions[i%2])
		}
	})
	for range 20 {
		if got := read(t, s, "k"); !slices.Contains(versions, got) {
			t.Errorf("read a mixture of %d bytes", len(got))
		}
	}
	writer.Wait()
}

func openSeeks(t *testing.T, s blob.Store) {
	put(t, s, "k", "0123456789")
	r, _, err := s.Open(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Seek(-3, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	tail, err := io.ReadAll(r)
	if err != nil || string(tail) != "789" {
		t.Errorf("the last three bytes are %q, %v", tail, err)
	}
}

func notFound(t *testing.T, s blob.Store) {
	put(t, s, "a/b", "x")
	for _, key := range []string{"c", "a", "a/b/c", "a/bc"} {
		if _, _, err := s.Open(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("open %q: %v, want ErrNotFound", key, err)
		}
	}
}

func invalidKeys(t *testing.T, s blob.Store) {
	ctx := t.Context()
	invalid := []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "./a", "../a", "a/../b", "a/..", "a/./b", `a\b`, `..\a`, "a\x00b", "a\xff",
		strings.Repeat("x", 256), strings.Repeat("x/", 600) + "x", ".oddish-tmp/a",
	}
	for _, key := range invalid {
		if _, err := s.Put(ctx, key, strings.NewReader("x")); !errors.Is(err, blob.ErrInvalidKey) {
			t.Errorf("put %.50q: %v, want ErrInvalidKey", key, err)
		}
		if err := s.WriteAt(ctx, key, 0, strings.NewReader("x")); !errors.Is(err, blob.ErrInvalidKey) {
			t.Errorf("write at %.50q: %v, want ErrInvalidKey", key, err)
		}
		if _, _, err := s.Open(ctx, key); !errors.Is(err, blob.ErrInvalidKey) {
			t.Errorf("open %.50q: %v, want ErrInvalidKey", key, err)
		}
		if err := s.Delete(ctx, key); !errors.Is(err, blob.ErrInvalidKey) {
			t.Errorf("delete %.50q: %v, want ErrInvalidKey", key, err)
		}
		if _, err := s.List(ctx, key); key != "" && !errors.Is(err, blob.ErrInvalidKey) {
			t.Errorf("list %.50q: %v, want ErrInvalidKey", key, err)
		}
	}
	if got := keys(t, s, ""); len(got) != 0 {
		t.Errorf("the store holds %q", got)
	}
}

func unusualKeys(t *testing.T, s blob.Store) {
	unusual := []string{"ä/日本 語.txt", "a b/c+d&e=f?.%20", "...", ".hidden/.x", "line\nbreak", strings.Repeat("x", 200)}
	for i, key := range unusual {
		put(t, s, key, fmt.Sprint(i))
	}
	for i, key := range unusual {
		want(t, s, key, fmt.Sprint(i))
	}
	slices.Sort(unusual)
	if got := keys(t, s, ""); !slices.Equal(got, unusual) {
		t.Errorf("list gives %q, want %q", got, unusual)
	}
}

func writeAt(t *testing.T, s blob.Store) {
	for _, chunk := range []struct {
		offset  int64
		content string
	}{{0, "hello"}, {5, ", "}, {7, "world"}} {
		if err := s.WriteAt(t.Context(), "d/log", chunk.offset, strings.NewReader(chunk.content)); err != nil {
			t.Fatal(err)
		}
	}
	want(t, s, "d/log", "hello, world")
	put(t, s, "d/log", "put")
	if err := s.WriteAt(t.Context(), "d/log", 3, strings.NewReader(" and grown")); err != nil {
		t.Fatal(err)
	}
	want(t, s, "d/log", "put and grown")
}

func writeAtRepeats(t *testing.T, s blob.Store) {
	write := func(offset int64, content string) {
		t.Helper()
		if err := s.WriteAt(t.Context(), "log", offset, strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	write(0, "one")
	write(3, "two")
	write(3, "two")
	want(t, s, "log", "onetwo")
	write(0, "one")
	want(t, s, "log", "one")
	write(0, "")
	want(t, s, "log", "")
}

func writeAtGap(t *testing.T, s blob.Store) {
	if err := s.WriteAt(t.Context(), "log", 1, strings.NewReader("x")); !errors.Is(err, blob.ErrOffset) {
		t.Errorf("writing past the end: %v, want ErrOffset", err)
	}
	if err := s.WriteAt(t.Context(), "log", -1, strings.NewReader("x")); !errors.Is(err, blob.ErrOffset) {
		t.Errorf("writing before the start: %v, want ErrOffset", err)
	}
	put(t, s, "log", "abc")
	if err := s.WriteAt(t.Context(), "log", 4, strings.NewReader("x")); !errors.Is(err, blob.ErrOffset) {
		t.Errorf("writing past the end: %v, want ErrOffset", err)
	}
	want(t, s, "log", "abc")
}

func list(t *testing.T, s blob.Store) {
	all := []string{"a", "b.c", "b/a/z", "b/c", "b/d/e", "bc/d", "c"}
	for _, key := range slices.Backward(all) {
		put(t, s, key, key)
	}
	tests := []struct {
		prefix string
		want   []string
	}{
		{"", all},
		{"b", []string{"b/a/z", "b/c", "b/d/e"}},
		{"b/d", []string{"b/d/e"}},
		{"b/c", []string{"b/c"}},
		{"a", []string{"a"}},
		{"none", []string{}},
		{"a/below/a/blob", []string{}},
	}
	for _, tt := range tests {
		if got := keys(t, s, tt.prefix); !slices.Equal(got, tt.want) {
			t.Errorf("list %q gives %q, want %q", tt.prefix, got, tt.want)
		}
	}
	infos, err := s.List(t.Context(), "b/d")
	if err != nil || len(infos) != 1 || infos[0].Size != 5 || infos[0].ModTime.IsZero() {
		t.Errorf("list gives %+v, %v", infos, err)
	}
}

func deletes(t *testing.T, s blob.Store) {
	for _, key := range []string{"a/b/c", "a/b/d/e", "a/bc", "f"} {
		put(t, s, key, "x")
	}
	for _, prefix := range []string{"a/b", "a/b", "none", "f/g"} {
		if err := s.Delete(t.Context(), prefix); err != nil {
			t.Errorf("delete %q: %v", prefix, err)
		}
	}
	if got := keys(t, s, ""); !slices.Equal(got, []string{"a/bc", "f"}) {
		t.Errorf("left are %q", got)
	}
	if err := s.Delete(t.Context(), "a/bc"); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, s, ""); !slices.Equal(got, []string{"f"}) {
		t.Errorf("left are %q", got)
	}
}

func putAfterDelete(t *testing.T, s blob.Store) {
	put(t, s, "a/b", "x")
	if err := s.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	put(t, s, "a", "now a blob of its own")
	want(t, s, "a", "now a blob of its own")
}

func cancelled(t *testing.T, s blob.Store) {
	put(t, s, "k", "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ctx, "k", strings.NewReader("y")); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}
	if _, err := s.List(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("list: %v", err)
	}
	if err := s.Delete(ctx, "k"); !errors.Is(err, context.Canceled) {
		t.Errorf("delete: %v", err)
	}
	want(t, s, "k", "x")
}

func concurrent(t *testing.T, s blob.Store) {
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			content := bytes.Repeat([]byte{byte(worker)}, 1000)
			for range 20 {
				key := fmt.Sprintf("shared/dir/%d", worker)
				if _, err := s.Put(t.Context(), key, bytes.NewReader(content)); err != nil {
					t.Errorf("put %s: %v", key, err)
				}
				if err := s.WriteAt(t.Context(), key+".log", 0, bytes.NewReader(content)); err != nil {
					t.Errorf("write %s: %v", key, err)
				}
				if _, err := s.List(t.Context(), "shared"); err != nil {
					t.Errorf("list: %v", err)
				}
				for _, k := range []string{key, key + ".log"} {
					if err := s.Delete(t.Context(), k); err != nil {
						t.Errorf("delete %s: %v", k, err)
					}
				}
			}
		})
	}
	group.Wait()
	if got := keys(t, s, ""); len(got) != 0 {
		t.Errorf("left are %q", got)
	}
}
