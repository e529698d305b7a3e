package server

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"oddish/api"
	"oddish/internal/result"
)

// folderArchive is the archive of a trial's folder; a name that ends with "@" is a link to the content.
func folderArchive(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, content := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}
		if link, is := strings.CutSuffix(name, "@"); is {
			h = &tar.Header{Typeflag: tar.TypeSymlink, Name: link, Linkname: content}
			content = ""
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func importedTrial(archive []byte) api.ImportTrial {
	sum := sha256.Sum256(archive)
	return api.ImportTrial{
		Digest: hex.EncodeToString(sum[:]), TaskName: "org/hello", Agent: "codex", Model: "openai/gpt-5", Environment: "docker", Attempts: 1, Finish: passed(),
	}
}

// putImport uploads an archive for the import of folder t__1.
func (r *rig) putImport(job api.ImportedJob, archive []byte) string {
	r.t.Helper()
	path := "/experiments/" + job.ExperimentID + "/import/t__1"
	do[struct{}](r, "PUT", path+"/archive", archive)
	return path
}

func (r *rig) importJob() api.ImportedJob {
	r.t.Helper()
	return do[api.ImportedJob](r, "POST", "/experiments/import", api.ImportJob{JobID: "j-1", Name: "nightly", Source: "harbor 0.26.0"})
}

func TestATrialIsImportedWithItsFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	job := r.importJob()
	files := folderArchive(t, map[string]string{"result.json": "{}", "agent/log.txt": "hello"})
	done := do[api.ImportedTrial](r, "POST", r.putImport(job, files), importedTrial(files))
	trial := do[api.Trial](r, "GET", "/trials/"+done.TrialID, nil)
	if trial.Origin != "imported" || trial.Status != api.StatusSuccess || *trial.Reward != 1 || trial.TaskVersion != nil || trial.Name != "hello-0" {
		t.Errorf("trial is %+v", trial)
	}
	if text := r.blob("jobs/" + job.ExperimentID + "/t__1/agent/log.txt"); text != "hello" {
		t.Errorf("its log is %q", text)
	}
	e := do[api.Experiment](r, "GET", "/experiments/nightly", nil)
	if e.ImportedFrom == nil || *e.ImportedFrom != "harbor 0.26.0" || e.Total != 1 || e.RewardPassed != 1 {
		t.Errorf("experiment is %+v", e)
	}
	var result result.Job
	if err := json.Unmarshal(do[api.JobFiles](r, "GET", "/experiments/nightly/job", nil).Result, &result); err != nil || result.ID != "j-1" {
		t.Errorf("the job is %s now, %v", result.ID, err)
	}
	contains(t, r.refuses(409, "POST", "/trials/"+done.TrialID+"/retry", nil), "imported")
}

func TestAnImportThatIsRepeatedReplaces(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	job := r.importJob()
	first := folderArchive(t, map[string]string{"result.json": "{}", "old.txt": "x"})
	a := do[api.ImportedTrial](r, "POST", r.putImport(job, first), importedTrial(first))
	if again := r.importJob(); again.ExperimentID != job.ExperimentID || len(again.Trials) != 1 || again.Trials[0] != a {
		t.Errorf("there is %+v, want %+v", again, a)
	}
	second := folderArchive(t, map[string]string{"result.json": "{}", "new.txt": "y"})
	b := do[api.ImportedTrial](r, "POST", r.putImport(job, second), importedTrial(second))
	if a.TrialID != b.TrialID {
		t.Errorf("trials %s and %s", a.TrialID, b.TrialID)
	}
	list := do[api.TrialFiles](r, "GET", "/trials/"+b.TrialID+"/files", nil)
	if len(list.Files) != 2 || list.Files[0].Path != "new.txt" {
		t.Errorf("files are %+v", list.Files)
	}
}

func TestAJobThatWasPulledFromHereIsKnown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sub := r.submit("a", 1)
	in := api.ImportJob{JobID: result.UUIDFor("experiment", sub.ExperimentID), ExperimentID: sub.ExperimentID, Source: "oddish"}
	if got := do[api.ImportedJob](r, "POST", "/experiments/import", in); !got.Native || got.ExperimentID != sub.ExperimentID {
		t.Errorf("answer is %+v", got)
	}
	files := folderArchive(t, map[string]string{"result.json": "{}"})
	path := r.putImport(api.ImportedJob{ExperimentID: sub.ExperimentID}, files)
	contains(t, r.refuses(409, "POST", path, importedTrial(files)), "takes no trials from elsewhere")
}

func TestArchivesThatAreNoTrialsFolderAreRefusedWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	job := r.importJob()
	for name, files := range map[string]map[string]string{
		"a name that leads out": {"../x": "evil"}, "an absolute name": {"/etc/x": "evil"},
		"a link that leads out": {"x@": "../../../etc/passwd"}, "a link": {"a.txt": "a", "x@": "a.txt"},
	} {
		t.Run(name, func(t *testing.T) {
			archive := folderArchive(t, files)
			contains(t, r.refuses(400, "POST", r.putImport(job, archive), importedTrial(archive)), "invalid archive")
		})
	}
	good := folderArchive(t, map[string]string{"result.json": "{}"})
	path := r.putImport(job, good)
	other := importedTrial([]byte("something else"))
	contains(t, r.refuses(400, "POST", path, other), "digest")
	contains(t, r.refuses(400, "POST", path+"x", importedTrial(good)), "PUT it to")
	running := importedTrial(good)
	running.Finish.Outcome = api.StatusRunning
	r.refuses(422, "POST", path, running)
	for _, folder := range []string{".hidden", "a%2Fb", "a%5Cb", "a%00b"} {
		r.refuses(422, "PUT", "/experiments/"+job.ExperimentID+"/import/"+folder+"/archive", good)
	}
	if e := do[api.Experiment](r, "GET", "/experiments/nightly", nil); e.Total != 0 {
		t.Errorf("%d trials are there", e.Total)
	}
}
