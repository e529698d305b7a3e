package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"oddish/api"
	"oddish/internal/blob"
)

const (
	// logTail is how much of the end of one log file is answered; the files themselves have all of it.
	logTail = 1 << 20
	// logsTotal is how much of all logs together is answered.
	logsTotal = 16 << 20
	// jsonLimit is the size of a result or trajectory above which it has to be fetched as a file.
	jsonLimit = 64 << 20
)

// AttemptInput names a trial in the path, and one of its attempts.
type AttemptInput struct {
	ID      string `path:"id" maxLength:"256"`
	Attempt int    `query:"attempt" minimum:"0" doc:"which attempt; 0 or absent: the last"`
}

// attemptQuery is what a link adds to stay with the attempt that was asked for.
func (t AttemptInput) attemptQuery() string {
	if t.Attempt == 0 {
		return ""
	}
	return fmt.Sprintf("?attempt=%d", t.Attempt)
}

type logsOutput struct{ Body api.TrialLogs }

type rawJSONOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (s *Server) registerLogs(a huma.API) {
	huma.Register(a, op(http.MethodGet, "/trials/{id}/logs", "files", "Every log of a trial's attempt as one text"), s.logs)
	huma.Register(a, op(http.MethodGet, "/trials/{id}/logs/structured", "files", "The logs of a trial's attempt, sorted by who wrote them"), s.structuredLogs)
	huma.Register(a, jsonOp("/trials/{id}/result", "The result.json of a trial's attempt"), s.result)
	huma.Register(a, jsonOp("/trials/{id}/trajectory", "The agent's trajectory (ATIF), null without one; of a task with steps that of the one that is named, else of the last that has one"), s.trajectory)
}

func jsonOp(path, summary string) huma.Operation {
	o := op(http.MethodGet, path, "files", summary)
	o.Responses = map[string]*huma.Response{"200": {
		Description: "as stored",
		Content:     map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{}}},
	}}
	return o
}

// isLog reports whether the file is text that a person would read as a log.
func isLog(p string) bool {
	switch path.Ext(p) {
	case ".json", ".jsonl", ".patch":
		return false
	case ".log", ".txt":
		return true
	}
	first, _, deep := strings.Cut(p, "/")
	return deep && (first == "logs" || first == "agent" || first == "verifier")
}

// readLogs calls add with each log of an attempt, in order of path, ends of long ones only.
func (s *Server) readLogs(ctx context.Context, dir string, add func(f trialFile, text string)) error {
	files, err := s.listFiles(ctx, dir)
	if err != nil {
		return err
	}
	left := int64(logsTotal)
	for _, f := range files {
		if !isLog(f.path) || left <= 0 {
			continue
		}
		text, cut, err := s.readTail(ctx, dir, f.path, min(logTail, left))
		if err != nil {
			return err
		}
		if strings.ContainsRune(text, 0) {
			continue // binary
		}
		left -= int64(len(text))
		if cut > 0 {
			text = fmt.Sprintf("[the first %d bytes are left out here; the file %s has them]\n", cut, f.path) + text
		}
		add(f, text)
	}
	return nil
}

func (s *Server) logs(ctx context.Context, in *AttemptInput) (*logsOutput, error) {
	dir, err := s.trialDir(ctx, in.ID, in.Attempt)
	if err != nil {
		return nil, s.fail(ctx, "Trial "+in.ID, err)
	}
	var b strings.Builder
	err = s.readLogs(ctx, dir, func(f trialFile, text string) {
		if b.Len() > 0 {
			b.WriteString("\n\n")
		}
		fmt.Fprintf(&b, "=== %s ===\n%s", f.Key, text)
	})
	if err != nil {
		return nil, s.fail(ctx, "logs of trial "+in.ID, err)
	}
	return &logsOutput{Body: api.TrialLogs{TrialID: in.ID, Logs: b.String(), S3Key: present(dir)}}, nil
}

func (s *Server) result(ctx context.Context, in *AttemptInput) (*rawJSONOutput, error) {
	data, err := s.storedJSON(ctx, in, "result.json")
	if errors.Is(err, blob.ErrNotFound) {
		return nil, huma.Error404NotFound("Trial " + in.ID + " has no result yet")
	}
	if err != nil {
		return nil, s.fail(ctx, "result of trial "+in.ID, err)
	}
	return &rawJSONOutput{ContentType: "application/json", Body: data}, nil
}

// storedJSON reads a JSON file of an attempt. An agent may have written it: what is no JSON is a 409 that names the
// file, not an error of the server's.
func (s *Server) storedJSON(ctx context.Context, in *AttemptInput, name string) ([]byte, error) {
	dir, err := s.trialDir(ctx, in.ID, in.Attempt)
	if err != nil {
		return nil, s.fail(ctx, "Trial "+in.ID, err)
	}
	data, err := s.readFile(ctx, dir, name, jsonLimit)
	if err != nil {
		return nil, err
	}
	if !json.Valid(data) {
		return nil, huma.Error409Conflict(name + " of trial " + in.ID + " is not JSON; fetch it as a file to see what it is")
	}
	return bytes.TrimSpace(data), nil
}
