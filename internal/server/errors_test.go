package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/danielgtaylor/huma/v2"
)

func TestAFullDiskIsNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, tc := range []struct {
		name string
		err  error
		want int
	}{
		{"a file", fmt.Errorf("store x: %w", &fs.PathError{Op: "write", Path: "/data/x", Err: syscall.ENOSPC}), http.StatusInsufficientStorage},
		{"a quota", &fs.PathError{Op: "write", Path: "/data/x", Err: syscall.EDQUOT}, http.StatusInsufficientStorage},
		{"the database", errors.New("database or disk is full (13)"), http.StatusInsufficientStorage},
		{"anything else", &fs.PathError{Op: "write", Path: "/data/x", Err: syscall.EIO}, http.StatusInternalServerError},
	} {
		var answer huma.StatusError
		if err := r.s.fail(t.Context(), "archive", tc.err); !errors.As(err, &answer) || answer.GetStatus() != tc.want {
			t.Errorf("%s: %v, want status %d", tc.name, err, tc.want)
		} else if strings.Contains(err.Error(), "/data") {
			t.Errorf("%s: the answer tells of paths: %v", tc.name, err)
		}
	}
}
