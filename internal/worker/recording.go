package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"oddish/client"
	"oddish/internal/llm/gateway"
	"oddish/internal/result"
)

// recordingFile is the file in a job's folder with the requests of the trial that this one replays.
const recordingFile = "recording.jsonl"

// recording is the recording that a trial is answered from. The file is closed with it.
type recording struct {
	*gateway.Recording
	file *os.File
}

func (r *recording) close() {
	if r != nil {
		_ = r.file.Close() // it was only read
	}
}

// fetchRecording brings the recording into the job's folder, unless a former process has, and opens it; nil: the trial is no replay.
func (w *Worker) fetchRecording(j *job, dir string) (*recording, error) {
	if j.Trial.AgentConfig.Replay == "" {
		return nil, nil
	}
	path := filepath.Join(dir, recordingFile)
	if _, err := os.Lstat(path); err != nil {
		err := persist(j.run, j.log, "recording", func(ctx context.Context) error {
			return w.saveRecording(ctx, j, path)
		})
		if err != nil {
			return nil, err
		}
	}
	rec, err := openRecording(path)
	if err != nil {
		return nil, permanent(errorRecording, "the recording of experiment %s cannot be replayed: %w", j.Trial.AgentConfig.Replay, err)
	}
	return rec, nil
}

// saveRecording writes the recording to path, where it is whole if it is there.
func (w *Worker) saveRecording(ctx context.Context, j *job, path string) error {
	body, err := w.c.Server.Recording(ctx, j.ID, j.Lease)
	if client.StatusOf(err) == http.StatusGone {
		return permanent(errorRecording, "there is nothing to replay: %w", err)
	}
	if err != nil {
		return err
	}
	defer body.Close()
	f, err := os.CreateTemp(filepath.Dir(path), recordingFile+".")
	if err != nil {
		return trouble(errorWorker, "store the recording: %w", err)
	}
	defer os.Remove(f.Name())
	in := &watchedErrors{r: body}
	_, err = io.Copy(f, in)
	if err = errors.Join(err, f.Close()); in.err != nil {
		return fmt.Errorf("fetch the recording: %w", in.err) // worth another try
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return trouble(errorWorker, "store the recording: %w", err)
	}
	return nil
}

// writeDivergence keeps where a replay left its recording, with both requests; nil: it did not.
func writeDivergence(dir string, d *gateway.DivergenceInfo) error {
	if d == nil {
		return nil
	}
	return result.WriteJSON(filepath.Join(dir, result.DivergenceFile), d)
}

func openRecording(path string) (*recording, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	rec, err := gateway.LoadRecording(f, info.Size())
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &recording{rec, f}, nil
}
