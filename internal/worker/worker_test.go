package worker

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oddish/api"
	"oddish/client"
	"oddish/internal/sandbox"
	"oddish/internal/trial"
)

func TestATrialIsRunAndDeliveredInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got trial.Config
		r := newRig(t, 1, func(ctx context.Context, c trial.Config) trial.Outcome {
			got = c
			c.Stage(api.StageTrialStarted)
			c.Sandbox("box-7")
			c.Stage(api.StageVerification)
			dir := filepath.Join(c.Dir, c.Spec.TrialName)
			write(filepath.Join(dir, "agent", "oracle.txt"), "out")
			write(filepath.Join(dir, "result.json"), "{}")
			if _, err := os.Stat(filepath.Join(c.TaskDir, "instruction.md")); err != nil {
				t.Error(err)
			}
			return trial.Outcome{Finish: api.Finish{Outcome: api.StatusSuccess, Rewards: map[string]float64{"reward": 1}}}
		})
		r.start()
		r.enqueue("a")
		j := r.finished("a")
		f := j.outcome(t)
		if f.Outcome != api.StatusSuccess || f.Rewards["reward"] != 1 {
			t.Errorf("outcome %+v", f)
		}
		if string(j.files["agent/oracle.txt"]) != "out" || string(j.files["result.json"]) != "{}" || len(j.files) != 2 {
			t.Errorf("files %q", j.files)
		}
		if len(j.events) != 3 || j.events[1].SandboxID != "box-7" || j.events[2].Stage != api.StageVerification {
			t.Errorf("events %+v", j.events)
		}
		if j.order[len(j.order)-1] != "finish" {
			t.Errorf("order %q: the end must come last", j.order)
		}
		if got.Owner != "me" || got.Provider.Kind() != testKind || filepath.Base(got.TaskDir) != "task" {
			t.Errorf("trial got %+v", got)
		}
		r.finish()
	})
}

func TestClaimsFillTheSlotsAndNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, 2, g.run)
		r.start()
		r.enqueue("a", "b", "c")
		synctest.Wait()
		if got := g.now(); !slices.Equal(got, []string{"a", "b"}) {
			t.Fatalf("running %v", got)
		}
		g.let("a")
		synctest.Wait()
		if got := g.now(); !slices.Equal(got, []string{"b", "c"}) {
			t.Fatalf("running %v", got)
		}
		g.let("b")
		g.let("c")
		r.finished("c")
		if g.most != 2 {
			t.Errorf("%d ran at once", g.most)
		}
		claims, _, _ := r.server.count()
		for i := range claims {
			c := r.server.claimed(i)
			if c.Slots < 1 || c.Slots > 2 || c.WorkerID != "worker-1" || !slices.Equal(c.Sandboxes, []string{testKind}) {
				t.Errorf("claim %+v", c)
			}
		}
		r.finish()
	})
}

func TestAnIdleWorkerOnlyPolls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, success)
		r.start()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		claims, beats, _ := r.server.count()
		if claims > 21 {
			t.Errorf("%d claims in ten minutes", claims)
		}
		if beats != 0 {
			t.Errorf("%d heartbeats without a job", beats)
		}
		r.finish()
	})
}

func TestCancelReachesTheTrialAndItsOutcomeIsDelivered(t *testing.T) {
	t.Parallel()
	for name, tell := range map[string]func(*rig, *gate){
		"by heartbeat": func(*rig, *gate) { time.Sleep(16 * time.Second) },
		"at once by the held question": func(r *rig, g *gate) {
			told := time.Now()
			r.server.set(func() { r.server.jobs["a"].push = true; close(r.server.wake); r.server.wake = make(chan struct{}) })
			r.finished("a")
			if took := time.Since(told); took > time.Second {
				t.Errorf("took %v", took)
			}
		},
		"by the answer to a report": func(_ *rig, g *gate) {
			g.mu.Lock()
			c := g.running["a"]
			g.mu.Unlock()
			c.Stage(api.StageAgentRunning)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newGate()
				r := newRig(t, 1, g.run)
				r.start()
				r.enqueue("a")
				synctest.Wait()
				r.server.set(func() { r.server.jobs["a"].cancel = true })
				tell(r, g)
				j := r.finished("a")
				if !g.was("a", trial.ErrCancelled) {
					t.Errorf("stopped by %v", g.causes["a"])
				}
				if f := j.outcome(t); f.Outcome != api.StatusCancelled || string(j.files["trial.log"]) != "started\n" {
					t.Errorf("outcome %+v, files %q", f, j.files)
				}
				r.finish()
			})
		})
	}
}

func TestALostLeaseAbandonsTheTrialQuietly(t *testing.T) {
	t.Parallel()
	for name, tell := range map[string]func(g *gate){
		"by heartbeat": func(*gate) { time.Sleep(16 * time.Second) },
		"by a refused report": func(g *gate) {
			g.mu.Lock()
			c := g.running["a"]
			g.mu.Unlock()
			c.Stage(api.StageAgentRunning)
		},
		"by a refused file": func(g *gate) {
			write(filepath.Join(g.dir("a"), "agent", "x.txt"), "more")
			time.Sleep(2 * time.Second)
		},
		"at the delivery": func(g *gate) { g.let("a") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newGate()
				r := newRig(t, 1, g.run)
				r.start()
				r.enqueue("a")
				synctest.Wait()
				r.server.set(func() { r.server.jobs["a"].lost = true })
				tell(g)
				synctest.Wait()
				if len(g.now()) != 0 {
					t.Fatal("the trial still runs")
				}
				if name != "at the delivery" && !g.was("a", trial.ErrAbandoned) {
					t.Errorf("stopped by %v", g.causes["a"])
				}
				if n := len(r.server.job("a").finishes); n != 0 {
					t.Errorf("%d finishes of a lost job", n)
				}
				r.enqueue("b") // the slot is free again
				synctest.Wait()
				g.let("b")
				r.finished("b")
				r.finish()
			})
		})
	}
}

func TestATrialWhoseLeaseEndedOnTheWayIsNotStarted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, 2, g.run)
		r.server.set(func() {
			r.server.hold = func(req *http.Request) {
				if strings.HasSuffix(req.URL.Path, "/jobs/a/events") {
					r.server.set(func() { r.server.jobs["a"].lost = true })
				}
			}
		})
		r.start()
		r.enqueue("a", "b")
		synctest.Wait()
		if _, started := g.leave["a"]; started || !slices.Equal(g.now(), []string{"b"}) {
			t.Errorf("a was started: %t, %q run, want b alone", started, g.now())
		}
		if n := len(r.server.job("a").finishes); n != 0 {
			t.Errorf("%d finishes of a lost job", n)
		}
		g.let("b")
		r.finished("b")
		r.finish()
	})
}

func TestWithoutHeartbeatsTheTrialIsAbandonedAtTheEndOfItsLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, 1, g.run)
		r.start()
		r.enqueue("a")
		synctest.Wait()
		r.server.down()
		time.Sleep(defaultLease - time.Second)
		synctest.Wait()
		if len(g.now()) != 1 {
			t.Fatalf("stopped early by %v", g.causes["a"])
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(g.now()) != 0 || !g.was("a", errLeaseEnded) {
			t.Errorf("running %v, stopped by %v", g.now(), g.causes["a"])
		}
		r.server.up()
		r.finish()
	})
}

func TestTheLeaseLengthOfTheServerIsObeyed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, 1, g.run)
		r.server.leaseSec = 4
		r.start()
		r.enqueue("a")
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if _, beats, _ := r.server.count(); beats < 17 || len(g.now()) != 1 {
			t.Errorf("%d heartbeats in 20 s, running %v", beats, g.now())
		}
		g.let("a")
		r.finished("a")
		r.finish()
	})
}

func TestAServerRestartIsNotNoticedByARunningTrial(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, 1, g.run)
		r.start()
		r.enqueue("a")
		time.Sleep(20 * time.Second)
		r.server.down()
		g.mu.Lock()
		c := g.running["a"]
		g.mu.Unlock()
		c.Stage(api.StageAgentRunning)
		write(filepath.Join(g.dir("a"), "trial.log"), "while it was away\n")
		time.Sleep(40 * time.Second)
		r.server.up()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		j := r.server.job("a")
		if len(g.now()) != 1 || len(j.events) != 2 || string(j.files["trial.log"]) != "started\nwhile it was away\n" {
			t.Errorf("running %v, events %+v, files %q", g.now(), j.events, j.files)
		}
		g.let("a")
		if f := r.finished("a").outcome(t); f.Outcome != api.StatusSuccess {
			t.Errorf("outcome %+v", f)
		}
		r.finish()
	})
}

func TestAFinishedTrialIsDeliveredAfterALongOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, 1, g.run)
		r.start()
		r.enqueue("a")
		synctest.Wait()
		r.server.down()
		g.let("a")
		time.Sleep(5 * time.Minute) // the lease has long ended, but nobody else has claimed the trial
		r.server.up()
		time.Sleep(30 * time.Second)
		if f := r.finished("a").outcome(t); f.Outcome != api.StatusSuccess {
			t.Errorf("outcome %+v", f)
		}
		r.finish()
	})
}

func TestAnAnswerAboutAnOlderLeaseDoesNotTouchTheNewerOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, 2, g.run)
		r.start()
		r.enqueue("a")
		synctest.Wait()
		first := r.worker.jobs.held()
		again := r.job("a")
		again.Lease, again.Attempt = "lease-2", 2
		r.server.enqueue(again)
		synctest.Wait()
		if !g.was("a", errLeaseLost) {
			t.Fatalf("the first attempt was stopped by %v, want a lost lease", g.causes["a"])
		}
		r.worker.obey(first, api.HeartbeatAck{Lost: []string{"a"}, Cancel: []string{"a"}}, time.Now())
		synctest.Wait()
		if got := r.worker.jobs.held()["a"]; got == nil || got.Lease != "lease-2" || got.run.Err() != nil {
			t.Fatalf("the second attempt is %+v", got)
		}
		g.let("a")
		if f := r.finished("a").outcome(t); f.Outcome != api.StatusSuccess {
			t.Errorf("outcome %+v", f)
		}
		r.finish()
	})
}

func TestADrainFinishesWhatRunsAndHeartbeatsGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, 2, g.run)
		r.config.DrainTimeout = time.Hour
		r.start()
		r.enqueue("a")
		synctest.Wait()
		r.stop()
		synctest.Wait()
		r.enqueue("b")
		_, before, _ := r.server.count()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := g.now(); !slices.Equal(got, []string{"a"}) {
			t.Errorf("running %v", got)
		}
		if _, beats, _ := r.server.count(); beats-before < 7 {
			t.Errorf("%d heartbeats during two minutes of drain", beats-before)
		}
		g.let("a")
		if f := r.finished("a").outcome(t); f.Outcome != api.StatusSuccess {
			t.Errorf("outcome %+v", f)
		}
		r.finish()
	})
}

func TestTheEndOfADrainHandsBack(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		timeout time.Duration
		cut     func(*Worker)
		after   time.Duration
	}{
		"at its deadline":       {time.Minute, func(*Worker) {}, time.Minute},
		"when it is cut":        {time.Hour, func(w *Worker) { w.HandBack(); w.HandBack() }, 0},
		"when there is no time": {-1, func(*Worker) {}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newGate()
				r := newRig(t, 1, g.run)
				r.config.DrainTimeout = tc.timeout
				r.start()
				r.enqueue("a")
				synctest.Wait()
				start := time.Now()
				r.stop()
				tc.cut(r.worker)
				r.finish()
				if d := time.Since(start); d != tc.after {
					t.Errorf("ended after %v, want %v", d, tc.after)
				}
				j := r.server.job("a")
				f := j.outcome(t)
				if f.Outcome != api.StatusCancelled || f.ErrorClass != api.ClassInfrastructure || f.ErrorType != errorShutdown {
					t.Errorf("outcome %+v", f)
				}
				if !g.was("a", errHandedBack) || string(j.files["trial.log"]) != "started\n" {
					t.Errorf("stopped by %v, files %q", g.causes["a"], j.files)
				}
			})
		})
	}
}

func TestADrainEndsAlsoWhenTheServerIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, 1, g.run)
		r.config.DrainTimeout = time.Second
		r.start()
		r.enqueue("a")
		synctest.Wait()
		r.server.down()
		start := time.Now()
		r.finish()
		if d := time.Since(start); d > time.Second+handBackTime {
			t.Errorf("ended after %v", d)
		}
	})
}

func TestTheFirstClaimRefusedForGoodEndsTheWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, success)
		r.server.refuse = func(*http.Request) int { return 401 }
		r.start()
		err := <-r.done
		if client.StatusOf(err) != 401 || !strings.Contains(err.Error(), "claim trials: POST /worker/v1/claim: 401") {
			t.Errorf("error %v", err)
		}
		r.close()
	})
}

func TestAServerThatIsAwayIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, success)
		r.server.down()
		r.start()
		time.Sleep(10 * time.Minute)
		r.server.up()
		r.enqueue("a")
		time.Sleep(lastWait + time.Second)
		r.finished("a")

		// Once it has worked, even a refusal is taken for a passing trouble.
		r.server.set(func() { r.server.refuse = func(*http.Request) int { return 404 } })
		time.Sleep(time.Minute)
		r.server.set(func() { r.server.refuse = nil })
		r.enqueue("b")
		time.Sleep(time.Minute)
		r.finished("b")
		r.finish()
	})
}

func TestAnOutcomeThatTheServerRefusesStillEndsTheAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, success)
		n := 0
		r.server.refuse = func(req *http.Request) int {
			if strings.HasSuffix(req.URL.Path, "/finish") {
				if n++; n == 1 {
					return 422
				}
			}
			return 0
		}
		r.start()
		r.enqueue("a")
		f := r.finished("a").outcome(t)
		if f.Outcome != api.StatusFailed || f.ErrorType != errorRefused || !strings.Contains(f.ErrorMessage, "refused by the test") {
			t.Errorf("outcome %+v", f)
		}
		r.finish()
	})
}

func TestAJobThatCannotBeRunHereFailsWithAReason(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*api.Job)
		class  api.ErrorClass
		words  string
	}{
		"a kind that is not offered": {func(j *api.Job) { j.Trial.Environment = "moon" }, api.ClassInfrastructure, `no sandboxes of kind "moon"`},
		"a name that leads away":     {func(j *api.Job) { j.Trial.TrialName = "../x" }, api.ClassPermanent, "cannot be the name of a folder"},
		"no digest":                  {func(j *api.Job) { j.Trial.TaskDigest = "../../x" }, api.ClassPermanent, "is not a digest"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1, success)
				r.start()
				j := r.job("a")
				tc.change(&j)
				r.server.enqueue(j)
				f := r.finished("a").outcome(t)
				if f.Outcome != api.StatusFailed || f.ErrorClass != tc.class || !strings.Contains(f.ErrorMessage, tc.words) {
					t.Errorf("outcome %+v", f)
				}
				r.finish()
			})
		})
	}
}

func TestKindsThatDoNotWorkAreLeftOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, success)
		r.config.Providers = []sandbox.Provider{&stubProvider{kind: "docker", check: errTest}, r.provider}
		r.start()
		synctest.Wait()
		if got := r.server.claimed(0).Sandboxes; !slices.Equal(got, []string{testKind}) {
			t.Errorf("offers %v", got)
		}
		r.finish()
	})
}

func TestAWorkerWithoutAnySandboxSaysWhy(t *testing.T) {
	t.Parallel()
	c := Config{
		Server: client.New("http://127.0.0.1:1", client.Options{}), ID: "w", Dir: t.TempDir(), Owner: "me", Log: slog.New(slog.DiscardHandler),
		Providers: []sandbox.Provider{
			&stubProvider{kind: "docker", check: fmt.Errorf("docker is not reachable")},
			&stubProvider{kind: "builtin", check: fmt.Errorf("user namespaces are off")},
		},
	}
	w, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	err = w.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "docker: docker is not reachable") || !strings.Contains(err.Error(), "builtin: user namespaces are off") {
		t.Errorf("error %v", err)
	}
}

func TestAConfigurationThatLacksSomethingIsRefused(t *testing.T) {
	t.Parallel()
	whole := Config{Server: client.New("x", client.Options{}), ID: "w", Dir: "d", Owner: "o", Log: slog.New(slog.DiscardHandler), Providers: []sandbox.Provider{&stubProvider{}}}
	if _, err := New(whole); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"server": func(c *Config) { c.Server = nil }, "id": func(c *Config) { c.ID = "" }, "folder": func(c *Config) { c.Dir = "" },
		"owner": func(c *Config) { c.Owner = "" }, "log": func(c *Config) { c.Log = nil }, "sandbox": func(c *Config) { c.Providers = nil },
		"slots": func(c *Config) { c.Slots = -1 },
	} {
		c := whole
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: error %v", name, err)
		}
	}
}
