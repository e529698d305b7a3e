package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"oddish/api"
	"oddish/internal/blob"
	"oddish/internal/result"
	"oddish/internal/store"
	"oddish/internal/tarball"
)

// A trial that ran elsewhere comes in two steps: PUT stages the archive of its folder, and POST unpacks it, stores the files and, last of all, adds the rows,
// so that it is there whole or not at all.

type importJobInput struct{ Body api.ImportJob }

type importedJobOutput struct{ Body api.ImportedJob }

// ImportInput names a trial by the experiment and the folder that it is imported from.
type ImportInput struct {
	ID     string `path:"id" maxLength:"64" doc:"of the experiment"`
	Folder string `path:"folder" pattern:"^[^./\\\\\x00-\x1f][^/\\\\\x00-\x1f]*$" patternDescription:"a plain name that is not hidden" maxLength:"200" doc:"name of the trial's folder"`
}

// staged is where the archive of the folder waits.
func (i *ImportInput) staged() string {
	return fmt.Sprintf("%s/import-%s/%s.tar.gz", uploadPrefix, i.ID, i.Folder)
}

type putImportInput struct {
	ImportInput
	requestInfo
}

type importTrialInput struct {
	ImportInput
	Body api.ImportTrial
}

type importedTrialOutput struct{ Body api.ImportedTrial }

func (s *Server) registerImports(a huma.API) {
	const tag = "import"
	huma.Register(a, op(http.MethodPost, "/experiments/import", tag, "Begin to import a job that ran elsewhere, or go on with it"), s.importJob)

	put := op(http.MethodPut, "/experiments/{id}/import/{folder}/archive", tag, "Upload the archive (gzip'd tar) of a trial's folder")
	put.DefaultStatus = http.StatusNoContent
	put.RequestBody = binaryBody("application/gzip")
	huma.Register(a, put, s.putImport)

	trial := op(http.MethodPost, "/experiments/{id}/import/{folder}", tag, "Add a trial that ran elsewhere, whose archive was uploaded")
	trial.MaxBodyBytes = 8 << 20 // error messages may be long
	huma.Register(a, trial, s.importTrial)
}

func (s *Server) importJob(ctx context.Context, in *importJobInput) (*importedJobOutput, error) {
	if own, err := s.ownJob(ctx, in.Body); err != nil || own != nil {
		return own, err
	}
	e, err := s.queue.ImportJob(ctx, in.Body)
	if err != nil {
		return nil, s.fail(ctx, "import of job "+in.Body.JobID, err)
	}
	trials, err := s.db.ImportedTrials(ctx, e.ID)
	if err != nil {
		return nil, s.fail(ctx, "import of job "+in.Body.JobID, err)
	}
	out := api.ImportedJob{ExperimentID: e.ID, ExperimentName: e.Name, Trials: make([]api.ImportedTrial, len(trials))}
	for i, t := range trials {
		out.Trials[i] = api.ImportedTrial{TrialID: t.ID, Folder: path.Base(t.TrialDir), Digest: t.Digest}
	}
	return &importedJobOutput{Body: out}, nil
}

// ownJob answers for a job that was pulled from this server, nil for every other.
func (s *Server) ownJob(ctx context.Context, in api.ImportJob) (*importedJobOutput, error) {
	if in.ExperimentID == "" || in.JobID != result.UUIDFor("experiment", in.ExperimentID) {
		return nil, nil
	}
	e, err := s.db.ExperimentSummary(ctx, in.ExperimentID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, s.fail(ctx, "Experiment "+in.ExperimentID, err)
	}
	return &importedJobOutput{Body: api.ImportedJob{ExperimentID: e.ID, ExperimentName: e.Name, Native: true, Trials: []api.ImportedTrial{}}}, nil
}

func (s *Server) putImport(ctx context.Context, in *putImportInput) (*struct{}, error) {
	s.uploads.sweepOld(ctx, s)
	if _, err := s.db.ExperimentSummary(ctx, in.ID); err != nil {
		return nil, s.fail(ctx, "Experiment "+in.ID, err)
	}
	if err := s.receive(ctx, in.requestInfo, in.staged()); err != nil {
		return nil, s.fail(ctx, "archive of trial "+in.Folder, err)
	}
	return nil, nil
}

func (s *Server) importTrial(ctx context.Context, in *importTrialInput) (*importedTrialOutput, error) {
	name, err := taskName(in.Body.TaskName)
	if err != nil {
		return nil, err
	}
	if !in.Body.Finish.Outcome.Terminal() {
		return nil, refused("body.finish.outcome", "is %q: only a trial that has ended is imported", in.Body.Finish.Outcome)
	}
	e, err := s.db.ExperimentSummary(ctx, in.ID)
	if err != nil {
		return nil, s.fail(ctx, "Experiment "+in.ID, err)
	}
	if e.ImportedJob == "" {
		return nil, huma.Error409Conflict("experiment " + e.Name + " ran here, and takes no trials from elsewhere")
	}
	dir := store.ExperimentDir(e.ID) + "/" + in.Folder
	kept, err := s.keepImport(ctx, in, dir)
	if err != nil {
		return nil, err
	}
	id, err := s.queue.Import(ctx, e.ID, in.Folder, name, in.Body)
	if err != nil {
		return nil, s.fail(ctx, "import of trial "+in.Folder, err)
	}
	s.tidyImport(ctx, in.staged(), dir, kept)
	s.folders.touch(e.ID)
	return &importedTrialOutput{Body: api.ImportedTrial{TrialID: id, Folder: in.Folder, Digest: in.Body.Digest}}, nil
}

// keepImport stores the files of the staged archive below dir, and tells their keys.
func (s *Server) keepImport(ctx context.Context, in *importTrialInput, dir string) (kept map[string]bool, err error) {
	select {
	case s.uploads.slots <- struct{}{}:
		defer func() { <-s.uploads.slots }()
	case <-ctx.Done():
		return nil, s.fail(ctx, "import", ctx.Err())
	}
	tmp, err := os.MkdirTemp(s.uploads.tempDir, "oddish-import-")
	if err != nil {
		return nil, s.fail(ctx, "import", fmt.Errorf("make folder to unpack an import: %w", err))
	}
	defer func() {
		if err := os.RemoveAll(tmp); err != nil {
			s.log.WarnContext(ctx, "temporary folder not removed", "dir", tmp, "error", err)
		}
	}()
	if err := s.unpackImport(ctx, in, tmp); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(tmp)
	if err != nil {
		return nil, s.fail(ctx, "import", err)
	}
	defer root.Close()
	kept = map[string]bool{}
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			return huma.Error400BadRequest("invalid archive: " + name + " is a link: leave it out")
		}
		kept[dir+"/"+name] = true
		return s.putFrom(ctx, root, name, dir+"/"+name)
	})
	return kept, s.failOrNil(ctx, "files of trial "+in.Folder, s.bodyError(err))
}

func (s *Server) putFrom(ctx context.Context, root *os.Root, name, key string) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = s.blobs.Put(ctx, key, f)
	return err
}

// unpackImport unpacks the staged archive, whose bytes must have the announced digest, into an empty folder.
func (s *Server) unpackImport(ctx context.Context, in *importTrialInput, dir string) error {
	r, _, err := s.blobs.Open(ctx, in.staged())
	if errors.Is(err, blob.ErrNotFound) {
		return huma.Error400BadRequest("archive not found: PUT it to " + "/experiments/" + in.ID + "/import/" + in.Folder + "/archive first")
	}
	if err != nil {
		return s.fail(ctx, "archive", err)
	}
	defer r.Close()
	sum := sha256.New()
	all := io.TeeReader(r, sum)
	if _, err := tarball.UnpackGzip(all, dir, tarball.UnpackOptions{}); err != nil {
		return huma.Error400BadRequest("invalid archive: " + err.Error())
	}
	if _, err := io.Copy(io.Discard, all); err != nil {
		return s.fail(ctx, "archive", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != in.Body.Digest {
		return huma.Error400BadRequest(fmt.Sprintf("the archive's bytes have digest %s, not the announced %s: upload it again", got, in.Body.Digest))
	}
	return nil
}

// tidyImport removes the archive, and what the trial's folder holds of a former import. What stays is only in the way.
func (s *Server) tidyImport(ctx context.Context, staged, dir string, kept map[string]bool) {
	gone := []string{staged}
	there, err := s.blobs.List(ctx, dir)
	for _, b := range there {
		if !kept[b.Key] && strings.HasPrefix(b.Key, dir+"/") {
			gone = append(gone, b.Key)
		}
	}
	for _, key := range gone {
		err = errors.Join(err, s.blobs.Delete(ctx, key))
	}
	if err != nil {
		s.log.WarnContext(ctx, "import not tidied", "dir", dir, "error", err)
	}
}
