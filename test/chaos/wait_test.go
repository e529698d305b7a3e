package chaos

import (
	"path/filepath"
	"strings"
	"time"
)

// stillness is how long no trial may end although some have not: longer than the longest wait for another attempt here.
const stillness = 90 * time.Second

// tidyTime is what is left of the time for all tests when a test gives up, so that it leaves no process behind.
const tidyTime = 20 * time.Second

// waitEnd waits until every trial has ended. That nothing ends for a long time means that something is stuck.
func (in *installation) waitEnd() {
	in.t.Helper()
	last, at := -1, time.Now()
	for {
		left := in.texts("SELECT id || ' ' || state FROM jobs WHERE state IN ('queued', 'running', 'retrying') ORDER BY state, id")
		if len(left) == 0 {
			return
		}
		if len(left) != last {
			last, at = len(left), time.Now()
		}
		if deadline, ok := in.t.Deadline(); ok && time.Until(deadline) < tidyTime {
			in.t.Fatalf("the time for the test is used up (-timeout), and %d trials have not ended", len(left))
		}
		if time.Since(at) > stillness {
			in.t.Fatalf("no trial has ended for %s, and %d have not: %s", stillness, len(left), strings.Join(left[:min(len(left), 20)], ", "))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// waitTidy waits until workers have removed what they keep while trials run: a moment longer than the trials.
func (in *installation) waitTidy() {
	in.t.Helper()
	in.eventually("scratch folders of trials to be removed", patience, func() bool {
		left, err := filepath.Glob(filepath.Join(in.dir, "worker-*", "work", "w*", "jobs", "*"))
		return err == nil && len(left) == 0
	})
	in.eventually("sandboxes to be removed", patience, func() bool {
		runs, err := in.readJournal()
		if err != nil {
			return false
		}
		for _, r := range runs {
			if r.end.IsZero() {
				return false
			}
		}
		return true
	})
}
