package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"oddish/internal/blob"
	"oddish/internal/store"
)

// trialDir gives the prefix under which the files of an attempt are stored; attempt 0 is the last one. It is empty
// when the trial has not started. store.ErrNotFound when there is no such trial or attempt.
func (s *Server) trialDir(ctx context.Context, trialID string, attempt int) (string, error) {
	t, err := s.db.Trial(ctx, trialID)
	if err != nil || attempt == 0 {
		return t.TrialDir, err
	}
	attempts, err := s.db.Attempts(ctx, trialID)
	if err != nil {
		return "", err
	}
	for _, a := range attempts {
		if a.Attempt == attempt {
			return a.TrialDir, nil
		}
	}
	return "", fmt.Errorf("attempt %d of trial %s: %w", attempt, trialID, store.ErrNotFound)
}

// trialFile is one stored file, by its path in the trial's folder.
type trialFile struct {
	blob.Info
	path string
}

// listFiles lists the files of an attempt by path.
func (s *Server) listFiles(ctx context.Context, dir string) ([]trialFile, error) {
	if dir == "" {
		return nil, nil
	}
	infos, err := s.blobs.List(ctx, dir)
	if err != nil {
		return nil, err
	}
	files := make([]trialFile, 0, len(infos))
	for _, info := range infos {
		files = append(files, trialFile{Info: info, path: strings.TrimPrefix(info.Key, dir+"/")})
	}
	return files, nil
}

// openFile opens a file of an attempt. blob.ErrNotFound.
func (s *Server) openFile(ctx context.Context, dir, path string) (io.ReadSeekCloser, blob.Info, error) {
	if dir == "" || !fs.ValidPath(path) || path == "." {
		return nil, blob.Info{}, fmt.Errorf("file %s: %w", path, blob.ErrNotFound)
	}
	return s.blobs.Open(ctx, dir+"/"+path)
}

// readFile reads a small file whole; more than limit bytes are an error.
func (s *Server) readFile(ctx context.Context, dir, path string, limit int64) ([]byte, error) {
	r, info, err := s.openFile(ctx, dir, path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if info.Size > limit {
		return nil, fmt.Errorf("read %s: %d bytes are more than %d", path, info.Size, limit)
	}
	return io.ReadAll(io.LimitReader(r, limit))
}

// readTail reads the last limit bytes of a text file, from the beginning of a line where
// something was left out; cut says how many bytes that was. A file that is not there is empty.
func (s *Server) readTail(ctx context.Context, dir, path string, limit int64) (text string, cut int64, err error) {
	r, info, err := s.openFile(ctx, dir, path)
	if errors.Is(err, blob.ErrNotFound) {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, err
	}
	defer r.Close()
	if cut = max(info.Size-limit, 0); cut > 0 {
		if _, err := r.Seek(cut, io.SeekStart); err != nil {
			return "", 0, fmt.Errorf("read end of %s: %w", path, err)
		}
	}
	data, err := io.ReadAll(io.LimitReader(r, limit))
	if err != nil {
		return "", 0, fmt.Errorf("read end of %s: %w", path, err)
	}
	text = string(data)
	if line := strings.IndexByte(text, '\n'); cut > 0 && line >= 0 {
		cut += int64(line + 1)
		text = text[line+1:]
	}
	return strings.ToValidUTF8(text, "\uFFFD"), cut, nil
}
