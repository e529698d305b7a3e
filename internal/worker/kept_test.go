package worker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestWhatIsKeptIsKnownUntilItExpires(t *testing.T) {
	t.Parallel()
	d, now := KeptIn(t.TempDir()), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if list, err := d.List(); err != nil || len(list) != 0 {
		t.Fatalf("at first %v, %v", list, err)
	}
	for i, id := range []string{"late", "soon"} {
		if err := d.Add(Kept{Kind: "docker", ID: id, TrialID: "t-0", Trial: "t__1", Until: now.Add(time.Duration(2-i) * time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(string(d), "docker-cut.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if list, err := d.List(); err != nil || len(list) != 2 || list[0].ID != "soon" {
		t.Errorf("kept are %v, %v", list, err)
	}
	kept, err := d.expire(now.Add(time.Hour))
	if err != nil || len(kept) != 1 || !kept[[2]string{"docker", "late"}] {
		t.Errorf("after an hour %v, %v", kept, err)
	}
	if err := errors.Join(d.Forget("docker", "late"), d.Forget("docker", "late")); err != nil {
		t.Error(err)
	}
	if list, err := d.List(); err != nil || len(list) != 0 {
		t.Errorf("at last %v, %v", list, err)
	}
	if err := d.Add(Kept{Kind: "docker", ID: "../x"}); err == nil {
		t.Error("a name that leads out was taken")
	}
}

func TestOnlySoManyAreKept(t *testing.T) {
	t.Parallel()
	d := KeptIn(t.TempDir())
	for i := range MaxKept + 1 {
		err := d.Add(Kept{Kind: "docker", ID: fmt.Sprint("c", i)})
		if full := i == MaxKept; full != errors.Is(err, ErrManyKept) || !full && err != nil {
			t.Errorf("sandbox %d: %v", i, err)
		}
	}
}
