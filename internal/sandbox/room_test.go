package sandbox_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"oddish/internal/sandbox"
)

func TestRoomIsMissedOnlyWhereLessIsFreeThanMustBe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, least := range []int64{0, 1} {
		if err := sandbox.Room(dir, least, "make room"); err != nil {
			t.Errorf("%d bytes: %v", least, err)
		}
	}
	err := sandbox.Room(dir, math.MaxInt64, "make room")
	if !errors.Is(err, sandbox.ErrDiskFull) || !strings.Contains(err.Error(), dir) || !strings.HasSuffix(err.Error(), "make room") {
		t.Errorf("more than there is: %v", err)
	}
	if err := sandbox.Room(dir+"/none", 1, ""); err == nil || errors.Is(err, sandbox.ErrDiskFull) {
		t.Errorf("a folder that is not there: %v", err)
	}
}
