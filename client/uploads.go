package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"oddish/api"
)

// InitUpload announces a version of a task. With ContentUnchanged in the answer the server
// has it; otherwise PutArchive and CompleteUpload follow.
func (c *Client) InitUpload(ctx context.Context, in api.UploadInit) (api.Upload, error) {
	return do[api.Upload](ctx, c, call{
		method: http.MethodPost, path: "/tasks/upload/init", body: jsonBody(in), repeat: repeatSafe,
	})
}

// CompleteUpload ends an upload. Repeating it is harmless.
func (c *Client) CompleteUpload(ctx context.Context, in api.UploadComplete) (api.Upload, error) {
	return do[api.Upload](ctx, c, call{
		method: http.MethodPost, path: "/tasks/upload/complete", body: jsonBody(in), repeat: repeatSafe,
	})
}

// PutArchive sends a task's archive to where the answer of InitUpload says. open is called
// for each try and its reader closed after it; when the reader has a size (an *os.File, or
// anything with Len() int) the request carries a Content-Length.
//
// The upload_url may be absolute. If its path is the archive route of this very server, the
// base address of the client is used instead of its scheme and host: a server behind a
// proxy does not know by which name it was reached. Any other address (an object store's,
// signed) is used exactly as it is, and the API key is not sent there.
func (c *Client) PutArchive(ctx context.Context, up api.Upload, open func() (io.ReadCloser, error)) error {
	req, err := c.archiveCall(up)
	if err != nil {
		return fmt.Errorf("upload task %s: %w", up.TaskID, err)
	}
	req.body = func() (io.ReadCloser, int64, error) {
		r, err := open()
		if err != nil {
			return nil, 0, fmt.Errorf("open archive of task %s: %w", up.TaskID, err)
		}
		return r, sizeOf(r), nil
	}
	return c.run(ctx, req, func(*http.Response) error { return nil })
}

func (c *Client) archiveCall(up api.Upload) (call, error) {
	if c.baseErr != nil {
		return call{}, c.baseErr
	}
	if up.UploadURL == nil || *up.UploadURL == "" {
		return call{}, errors.New("the server gave no upload_url")
	}
	u, err := url.Parse(*up.UploadURL)
	if err != nil {
		return call{}, fmt.Errorf("upload_url: %w", err)
	}
	req := call{method: http.MethodPut, header: http.Header{}, repeat: repeatSafe}
	if up.UploadMethod != nil && *up.UploadMethod != "" {
		req.method = *up.UploadMethod
	}
	for k, v := range up.UploadHeaders {
		req.header.Set(k, v)
	}
	if req.header.Get("Content-Type") == "" {
		req.header.Set("Content-Type", "application/gzip")
	}
	route := path("tasks", up.TaskID, "versions", strconv.Itoa(up.Version), "archive")
	switch {
	case !u.IsAbs() && u.Host == "":
		rel := strings.TrimPrefix(u.EscapedPath(), c.base.EscapedPath())
		req.path, req.query = "/"+strings.TrimPrefix(rel, "/"), u.Query()
	case strings.HasSuffix(u.EscapedPath(), route):
		req.path, req.query = route, u.Query()
	default:
		req.path, req.foreign = u.String(), true
	}
	return req, nil
}

// sizeOf is the number of bytes that r will give, or -1.
func sizeOf(r io.Reader) int64 {
	switch v := r.(type) {
	case interface{ Len() int }:
		return int64(v.Len())
	case interface{ Stat() (fs.FileInfo, error) }:
		if fi, err := v.Stat(); err == nil && fi.Mode().IsRegular() {
			return fi.Size()
		}
	}
	return -1
}
