package jobdir

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"oddish/api"
	"oddish/client"
	"oddish/internal/tarball"
)

// Target is the server that jobs are imported to; *client.Client is one.
type Target interface {
	ImportJob(ctx context.Context, in api.ImportJob) (api.ImportedJob, error)
	PutImport(ctx context.Context, experimentID, folder string, open func() (io.ReadCloser, error)) error
	ImportTrial(ctx context.Context, experimentID, folder string, in api.ImportTrial) (api.ImportedTrial, error)
}

// Imported says what the import of a job did.
type Imported struct {
	Dir            string    `json:"dir"`
	Program        string    `json:"program"` // that ran the job
	ExperimentID   string    `json:"experiment_id,omitempty"`
	ExperimentName string    `json:"experiment_name,omitempty"`
	Native         bool      `json:"native,omitempty"` // the job is the server's own experiment, and nothing was done
	Trials         int       `json:"trials"`           // that have a result
	New            int       `json:"new"`
	Changed        int       `json:"changed"`
	Unchanged      int       `json:"unchanged"`
	LeftOut        []LeftOut `json:"left_out"`
	Former         []string  `json:"former"` // folders of trials that were imported before and are gone from the job: they stay in the experiment
}

// LeftOut is something of a job that was not imported.
type LeftOut struct {
	Path   string `json:"path"` // in the job's folder
	Reason string `json:"reason"`
}

// ImportOptions of Import.
type ImportOptions struct {
	Name   string         // of the experiment, if it is new; empty: the job's
	DryRun bool           // only read the folder; the target may be nil
	Report func(Imported) // called after each trial; nil: nobody listens
}

// Import adds the trials of a job to the experiment that is the job's, which is made the first time. What is there already and is the same stays; the same
// import may be repeated after an error and goes on. Trials that have no result are left out, and so are links and other files that are none.
func Import(ctx context.Context, t Target, j Job, o ImportOptions) (Imported, error) {
	im := &importer{target: t, job: j, done: Imported{Dir: j.Dir, Program: j.Program, LeftOut: []LeftOut{}, Former: []string{}}}
	trials := im.read()
	if o.DryRun {
		im.done.New = len(trials)
		return im.done, nil
	}
	if err := im.begin(ctx, o.Name, trials); err != nil || im.done.Native {
		return im.done, err
	}
	for _, trial := range trials {
		if err := im.trial(ctx, trial); refused(err) {
			im.leaveOut(trial.folder, "the server refuses it: "+err.Error())
		} else if err != nil {
			return im.done, fmt.Errorf("trial %s: %w", trial.folder, err)
		}
		if o.Report != nil {
			o.Report(im.done)
		}
	}
	return im.done, nil
}

// refused reports whether the server will never take the trial.
func refused(err error) bool {
	status := client.StatusOf(err)
	return status == http.StatusBadRequest || status == http.StatusUnprocessableEntity
}

type importer struct {
	target Target
	job    Job
	known  map[string]string // digests of what is there, by folder
	done   Imported
}

// readyTrial is a trial that can be imported.
type readyTrial struct {
	folder string
	api.ImportTrial
}

// read reads all trials, in the order in which they were pulled, else began.
func (im *importer) read() []readyTrial {
	var trials []readyTrial
	settings := map[string]int{}
	for _, folder := range im.job.folders {
		in, notes, err := im.job.readTrial(folder)
		for _, n := range notes {
			settings[n]++
		}
		if err != nil {
			im.leaveOut(folder, strings.TrimPrefix(err.Error(), "read "+im.job.Dir+string(filepath.Separator)))
			continue
		}
		trials = append(trials, readyTrial{folder, in})
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		im.leaveOut("config.json", fmt.Sprintf("%s of %d trials has no meaning here; the file has it", name, settings[name]))
	}
	place := map[string]int{}
	if im.job.Mark != nil {
		for i, t := range im.job.Mark.Trials {
			place[t.Folder] = i + 1
		}
	}
	slices.SortStableFunc(trials, func(a, b readyTrial) int {
		if d := place[a.folder] - place[b.folder]; d != 0 {
			return d
		}
		return compareTimes(a.StartedAt, b.StartedAt)
	})
	im.done.Trials = len(trials)
	return trials
}

func compareTimes(a, b *time.Time) int {
	if a == nil || b == nil {
		return 0
	}
	return a.Compare(*b)
}

func (im *importer) leaveOut(path, reason string) {
	im.done.LeftOut = append(im.done.LeftOut, LeftOut{path, reason})
}

// begin finds the experiment, and what of the job is in it.
func (im *importer) begin(ctx context.Context, name string, trials []readyTrial) error {
	if len(trials) == 0 {
		return fmt.Errorf("%s: no trial in it has ended with a result", im.job.Dir)
	}
	in := api.ImportJob{JobID: im.job.ID, Name: im.job.Name, Source: im.job.Program, CreatedAt: im.job.Began}
	if name != "" {
		in.Name = name
	}
	if im.job.Mark != nil {
		in.ExperimentID = im.job.Mark.ExperimentID
	}
	for i := range trials {
		if s := trials[i].StartedAt; im.job.Began == nil && s != nil && (in.CreatedAt == nil || s.Before(*in.CreatedAt)) {
			in.CreatedAt = s
		}
	}
	there, err := im.target.ImportJob(ctx, in)
	if err != nil {
		return err
	}
	im.done.ExperimentID, im.done.ExperimentName, im.done.Native = there.ExperimentID, there.ExperimentName, there.Native
	im.known = map[string]string{}
	for _, t := range there.Trials {
		im.known[t.Folder] = t.Digest
		if !slices.ContainsFunc(trials, func(r readyTrial) bool { return r.folder == t.Folder }) {
			im.done.Former = append(im.done.Former, t.Folder)
		}
	}
	return nil
}

// trial brings one trial, unless it is there.
func (im *importer) trial(ctx context.Context, t readyTrial) error {
	archive, err := os.CreateTemp("", "oddish-import-*.tar.gz")
	if err != nil {
		return err
	}
	defer os.Remove(archive.Name())
	defer archive.Close()
	sum := sha256.New()
	if err := im.pack(io.MultiWriter(archive, sum), t.folder); err != nil {
		return err
	}
	t.Digest = hex.EncodeToString(sum.Sum(nil))
	before, was := im.known[t.folder]
	if before == t.Digest {
		im.done.Unchanged++
		return nil
	}
	id := im.done.ExperimentID
	if err := im.target.PutImport(ctx, id, t.folder, func() (io.ReadCloser, error) { return os.Open(archive.Name()) }); err != nil {
		return err
	}
	if _, err := im.target.ImportTrial(ctx, id, t.folder, t.ImportTrial); err != nil {
		return err
	}
	if was {
		im.done.Changed++
	} else {
		im.done.New++
	}
	return nil
}

// pack writes the archive of a trial's folder, without what is neither a file nor a folder.
func (im *importer) pack(w io.Writer, folder string) error {
	dir := filepath.Join(im.job.Dir, folder)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var unreadable error
	err = tarball.PackGzip(w, dir, tarball.PackOptions{Include: func(rel string, isDir bool) bool {
		info, err := root.Lstat(filepath.FromSlash(rel))
		if err != nil {
			unreadable = errors.Join(unreadable, err)
			return false
		}
		if isDir || info.Mode().IsRegular() {
			return true
		}
		im.leaveOut(folder+"/"+rel, "it is no regular file")
		return false
	}})
	return errors.Join(err, unreadable)
}
