package queue

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"oddish/api"
	"oddish/internal/store"
	"oddish/internal/store/storetest"
)

const secretValue = "sk-ant-extremely-secret-0123456789"

func (f *fixture) secretSweep() Submission {
	s := f.sweep("e", "codex", "gpt-5", 1)
	s.Sweep.Configs[0].AgentConfig = &api.AgentConfig{Env: map[string]string{
		"KEY": secretValue, "FROM_HOST": "${ANTHROPIC_API_KEY}", "EMPTY": "", "HALF": "${A}-" + secretValue,
	}}
	s.Sweep.Harbor = &api.HarborConfig{
		Environment: &api.EnvironmentConfig{Env: map[string]string{"E": secretValue + "-e"}},
		Verifier:    &api.VerifierConfig{Env: map[string]string{"V": secretValue + "-v"}},
		HostEnv:     map[string]string{"H": secretValue + "-h"},
	}
	return s
}

func TestSecretsAreGivenOnlyThroughTheClaim(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	s := f.secretSweep()
	id := f.submit(s).TrialIDs[0]
	if s.Sweep.Configs[0].AgentConfig.Env["KEY"] != secretValue || s.Sweep.Harbor.Environment.Env["E"] != secretValue+"-e" {
		t.Error("the submission itself was changed")
	}
	redacted := map[string]string{"KEY": Redacted, "FROM_HOST": "${ANTHROPIC_API_KEY}", "EMPTY": "", "HALF": Redacted}
	check := func() {
		t.Helper()
		tr := f.trial(id)
		if !reflect.DeepEqual(tr.AgentConfig.Env, redacted) || tr.Harbor.Environment.Env["E"] != Redacted || tr.Harbor.Verifier.Env["V"] != Redacted || tr.Harbor.HostEnv["H"] != Redacted {
			t.Errorf("a read gives %v, %v, %v", tr.AgentConfig.Env, tr.Harbor.Environment.Env, tr.Harbor.Verifier.Env)
		}
	}
	check()
	c := f.claimOne()
	if !reflect.DeepEqual(c.Trial.AgentConfig.Env, s.Sweep.Configs[0].AgentConfig.Env) {
		t.Errorf("the claim gives %v", c.Trial.AgentConfig.Env)
	}
	if c.Trial.Harbor.Environment.Env["E"] != secretValue+"-e" || c.Trial.Harbor.Verifier.Env["V"] != secretValue+"-v" || c.Trial.Harbor.HostEnv["H"] != secretValue+"-h" {
		t.Errorf("the claim gives %+v", c.Trial.Harbor)
	}
	check()
	if held, err := f.Check(t.Context(), id, c.Lease); err != nil || held.AgentConfig.Env["KEY"] != Redacted {
		t.Errorf("a check gives %v, %v", held.AgentConfig.Env, err)
	}
	// A retry still has them.
	f.finish(c, failure(api.ClassInfrastructure))
	f.clock.advance(1e12)
	if c = f.claimOne(); c.Trial.AgentConfig.Env["KEY"] != secretValue {
		t.Errorf("the second claim gives %v", c.Trial.AgentConfig.Env)
	}
	f.succeed(c, 1)
	check()
}

func sealedOf(t *testing.T, db *store.DB, id string) *string {
	t.Helper()
	var sealed *string
	if err := db.Read().QueryRowContext(t.Context(), "SELECT secrets FROM trials WHERE id = $1", id).Scan(&sealed); err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestSecretsAreWipedWhenTheTrialEnds(t *testing.T) {
	t.Parallel()
	endings := map[string]func(f *fixture){
		"success": func(f *fixture) { f.succeed(f.claimOne(), 1) },
		"failure": func(f *fixture) { f.finish(f.claimOne(), failure(api.ClassPermanent)) },
		"cancel":  func(f *fixture) { f.cancel(CancelFilter{TaskIDs: []string{f.task.ID}}) },
		"loss of workers": func(f *fixture) {
			for range 6 {
				f.claimOne()
				f.clock.advance(DefaultLease)
				f.reap()
			}
		},
	}
	for name, end := range endings {
		t.Run("by "+name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Options{})
			id := f.submit(f.secretSweep()).TrialIDs[0]
			if sealedOf(t, f.db, id) == nil {
				t.Fatal("nothing was stored")
			}
			end(f)
			if sealed := sealedOf(t, f.db, id); sealed != nil {
				t.Errorf("%q is left", *sealed)
			}
			if err := f.Retry(t.Context(), id); !errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), "submit it again") {
				t.Errorf("retry: %v", err)
			}
		})
	}
}

func TestSecretsAreUnreadableInTheDatabaseFile(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		t.Skip("there is no file to look into")
	}
	url := storetest.URL(t)
	path := strings.TrimPrefix(url, "sqlite:///")
	f := newFixtureOn(t, storetest.OpenURL(t, url), Options{})
	id := f.submit(f.secretSweep()).TrialIDs[0]
	sealed := *sealedOf(t, f.db, id)
	if got := filesWith(t, path, secretValue); got != nil {
		t.Errorf("the secret is readable in %q", got)
	}
	if filesWith(t, path, sealed) == nil {
		t.Error("the sealed text is not found: the test looks at the wrong place")
	}
	f.succeed(f.claimOne(), 1)
	if _, err := f.db.Read().ExecContext(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	if got := filesWith(t, path, sealed); got != nil {
		t.Errorf("the sealed text is left in %q after it was wiped", got)
	}
}

// filesWith lists the files of the database that contain the text.
func filesWith(t *testing.T, path, text string) []string {
	t.Helper()
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files at %s: %v", path, err)
	}
	var found []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), text) {
			found = append(found, filepath.Base(file))
		}
	}
	return found
}

func TestATrialWhoseSecretsCannotBeOpenedFailsAndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	sealed := f.submit(f.secretSweep()).TrialIDs[0]
	plain := f.add("e", "gpt-5", 1)[0]
	other := New(f.db, Options{Sealer: newSealer(t), Now: f.clock.now})
	claimed, err := other.Claim(t.Context(), claimOf("w", 5))
	if err != nil || len(claimed) != 1 || claimed[0].Trial.ID != plain {
		t.Fatalf("claimed %q, %v", ids(claimed), err)
	}
	if tr := f.trial(sealed); tr.Status != api.StatusFailed || tr.ErrorType != "SecretsUnreadable" || !strings.Contains(tr.ErrorMessage, "another key") {
		t.Errorf("trial is %+v", tr)
	}
	checkTallies(t, f.db)
}

func TestSecretsAreRefusedWithoutAKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	bare := New(f.db, Options{Now: f.clock.now})
	if _, err := bare.Submit(t.Context(), f.secretSweep()); err == nil || !strings.Contains(err.Error(), "secret key") {
		t.Errorf("the error is %v", err)
	}
	if _, err := bare.Submit(t.Context(), f.sweep("e", "codex", "gpt-5", 1)); err != nil {
		t.Errorf("a submission without secrets: %v", err)
	}
}
