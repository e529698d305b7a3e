package worker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"oddish/api"
)

func TestTrialsEnterInOrderAsFarAsTheyFit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var waiting bool
		a := newAdmission(4, 8<<30, func(w bool) { waiting = w })
		var entered []string
		enter := func(name string, n need) (leave chan struct{}) {
			leave = make(chan struct{})
			go func() {
				out, err := a.enter(t.Context(), n)
				if err != nil {
					t.Error(err)
					return
				}
				entered = append(entered, name)
				<-leave
				out()
			}()
			synctest.Wait()
			return leave
		}
		check := func(want ...string) {
			t.Helper()
			synctest.Wait()
			if !slices.Equal(entered, want) {
				t.Fatalf("entered %v, want %v", entered, want)
			}
		}
		half := enter("half", need{2, 1 << 30})
		check("half")
		if waiting {
			t.Error("nobody waits")
		}
		huge := enter("huge", need{64, 64 << 30}) // more than the machine: when it is alone
		small := enter("small", need{1, 0})       // would fit, but came later
		check("half")
		if !waiting {
			t.Error("two wait")
		}
		close(half)
		check("half", "huge")
		close(huge)
		check("half", "huge", "small")
		fraction := enter("fraction", need{3, 0})
		check("half", "huge", "small", "fraction")
		close(small)
		close(fraction)
		synctest.Wait()
		if a.used != (need{}) || waiting {
			t.Errorf("used %+v after all have left", a.used)
		}
	})
}

func TestWhoStopsWaitingLetsTheNextOneIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(2, 0, func(bool) {})
		leave, err := a.enter(t.Context(), need{cpus: 1})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		gaveUp := make(chan error)
		go func() {
			_, err := a.enter(ctx, need{cpus: 2})
			gaveUp <- err
		}()
		synctest.Wait()
		next := make(chan struct{})
		go func() {
			out, err := a.enter(t.Context(), need{cpus: 1})
			if err != nil {
				t.Error(err)
			}
			close(next)
			out()
		}()
		synctest.Wait()
		cancel(errTest)
		if err := <-gaveUp; !errors.Is(err, errTest) {
			t.Errorf("error %v", err)
		}
		<-next
		leave()
		synctest.Wait()
		if a.used != (need{}) {
			t.Errorf("used %+v", a.used)
		}
	})
}

func TestNoTrialsAreClaimedWhileOneWaitsForRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, 4, g.run)
		r.config.CPUs = 2
		r.config.resources = func(string, api.TrialSpec) need { return need{cpus: 2} }
		r.start()
		r.enqueue("a")
		synctest.Wait()
		r.enqueue("b")
		time.Sleep(time.Second)
		r.enqueue("c") // taken by the claim that was on its way
		time.Sleep(time.Second)
		r.enqueue("d")
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got := g.now(); !slices.Equal(got, []string{"a"}) || r.server.job("d").lease != "" {
			t.Errorf("running %v, and d was claimed: %v", got, r.server.job("d").lease != "")
		}
		for _, id := range []string{"a", "b", "c", "d"} {
			g.let(id)
			r.finished(id)
			synctest.Wait()
		}
		r.finish()
	})
}

func TestWhatATaskDeclaresAndASubmissionOverrides(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(filepath.Join(dir, "instruction.md"), "do")
	write(filepath.Join(dir, "tests", "test.sh"), "true")
	write(filepath.Join(dir, "environment", "Dockerfile"), "FROM x")
	write(filepath.Join(dir, "task.toml"), "schema_version = \"1.4\"\n[environment]\ncpus = 3\nmemory_mb = 512\n")
	if got := declared(dir, api.TrialSpec{}); got != (need{3, 512 << 20}) {
		t.Errorf("declared %+v", got)
	}
	one, mb := 1, 64
	spec := api.TrialSpec{Harbor: api.HarborConfig{Environment: &api.EnvironmentConfig{OverrideCPUs: &one, OverrideMemoryMB: &mb}}}
	if got := declared(dir, spec); got != (need{1, 64 << 20}) {
		t.Errorf("overridden %+v", got)
	}
	if got := declared(t.TempDir(), api.TrialSpec{}); got != (need{}) {
		t.Errorf("of no task %+v", got)
	}
}

func TestTheMachineIsMeasured(t *testing.T) {
	t.Parallel()
	if machineCPUs() < DefaultCPUShare {
		t.Errorf("%v cpus", machineCPUs())
	}
	name := filepath.Join(t.TempDir(), "meminfo")
	if err := os.WriteFile(name, []byte("MemFree: 1 kB\nMemTotal:       2048 kB\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := memTotal(name); got != 2<<20 {
		t.Errorf("%d bytes", got)
	}
	if got := memTotal(name + "x"); got != 0 {
		t.Errorf("%d bytes of no file", got)
	}
}
