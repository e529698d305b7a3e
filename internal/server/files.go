package server

import (
	"context"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"oddish/api"
)

type filesInput struct {
	AttemptInput
	Prefix    string `query:"prefix" maxLength:"1024" doc:"list only below this folder"`
	Recursive bool   `query:"recursive" default:"true" doc:"false: files directly in the folder; folders are in dirs"`
	requestInfo
}

type filesOutput struct{ Body api.TrialFiles }

type fileInput struct {
	AttemptInput
	Path string `path:"path" maxLength:"1024"`
}

func (s *Server) registerFiles(a huma.API) {
	huma.Register(a, op(http.MethodGet, "/trials/{id}/files", "files", "Files of a trial's attempt"), s.files)

	get := op(http.MethodGet, "/trials/{id}/files/{path...}", "files", "One file of a trial's attempt; ranges are answered")
	get.Responses = map[string]*huma.Response{"200": {
		Description: "text as text/plain, images as they are, everything else as a download",
		Content:     map[string]*huma.MediaType{"*/*": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}},
	}}
	huma.Register(a, get, s.file)
}

func (s *Server) files(ctx context.Context, in *filesInput) (*filesOutput, error) {
	prefix := strings.Trim(in.Prefix, "/")
	if prefix != "" && !fs.ValidPath(prefix) {
		return nil, huma.Error400BadRequest("malformed prefix: it must be a relative path without ..")
	}
	dir, err := s.trialDir(ctx, in.ID, in.Attempt)
	if err != nil {
		return nil, s.fail(ctx, "Trial "+in.ID, err)
	}
	files, err := s.listFiles(ctx, dir)
	if err != nil {
		return nil, s.fail(ctx, "files of trial "+in.ID, err)
	}
	out := api.TrialFiles{TrialID: in.ID, Prefix: path.Join(dir, prefix) + "/", Recursive: in.Recursive, Files: []api.File{}, Dirs: []string{}}
	if dir == "" {
		out.Prefix = ""
	}
	below := in.baseURL() + "/trials/" + url.PathEscape(in.ID) + "/files/"
	for _, f := range files {
		rest, inside := strings.CutPrefix(f.path, prefix+"/")
		if prefix == "" {
			rest, inside = f.path, true
		}
		if !inside {
			continue
		}
		if first, _, deep := strings.Cut(rest, "/"); deep && !in.Recursive {
			if folder := path.Join(prefix, first); len(out.Dirs) == 0 || out.Dirs[len(out.Dirs)-1] != folder {
				out.Dirs = append(out.Dirs, folder)
			}
			continue
		}
		out.Files = append(out.Files, api.File{
			Path: f.path, Key: f.Key, Size: f.Size, LastModified: f.ModTime.UTC(), URL: below + escapePath(f.path) + in.attemptQuery(),
		})
	}
	return &filesOutput{Body: out}, nil
}

func (s *Server) file(ctx context.Context, in *fileInput) (*huma.StreamResponse, error) {
	if !fs.ValidPath(in.Path) || in.Path == "." {
		return nil, huma.Error400BadRequest("malformed file path: it must be relative, without .. and empty elements")
	}
	dir, err := s.trialDir(ctx, in.ID, in.Attempt)
	if err != nil {
		return nil, s.fail(ctx, "Trial "+in.ID, err)
	}
	r, info, err := s.openFile(ctx, dir, in.Path)
	if err != nil {
		return nil, s.fail(ctx, "File "+in.Path+" of trial "+in.ID, err)
	}
	kind, err := sniff(r)
	if err != nil {
		_ = r.Close() // the read error is the one to tell
		return nil, s.fail(ctx, "file "+in.Path+" of trial "+in.ID, err)
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		defer r.Close()
		req, w := humago.Unwrap(hctx)
		fileHeaders(w.Header(), kind, path.Base(in.Path))
		http.ServeContent(w, req, "", info.ModTime, r)
	}}, nil
}

// fileHeaders sets the headers of a file that an agent made. Whatever it is, a browser must not run it: only text and
// simple images are shown, in a sandbox without scripts, and everything else is saved.
func fileHeaders(h http.Header, kind, name string) {
	disposition := "attachment"
	if kind != "application/octet-stream" {
		disposition = "inline"
	}
	if d := mime.FormatMediaType(disposition, map[string]string{"filename": name}); d != "" {
		disposition = d
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", disposition)
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-cache") // revalidated: a running trial's files grow
}

// sniff tells what the content may be shown as, by its first bytes and never by its name.
func sniff(r io.ReadSeeker) (string, error) {
	head := make([]byte, 512)
	n, err := io.ReadFull(r, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return "", err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	kind := http.DetectContentType(head[:n])
	switch kind {
	case "image/png", "image/jpeg", "image/gif", "image/webp":
		return kind, nil
	}
	if strings.HasPrefix(kind, "text/") && !strings.Contains(kind, "utf-16") {
		return "text/plain; charset=utf-8", nil
	}
	return "application/octet-stream", nil
}

// escapePath escapes each element of a slash path for use in a URL.
func escapePath(p string) string {
	parts := strings.Split(p, "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return strings.Join(parts, "/")
}
