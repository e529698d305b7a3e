package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"oddish/internal/blob"
)

// limited returns the request's body, which ends with an error at the upload limit. A body that is
// announced to be larger is refused before it is sent.
func (s *Server) limited(in requestInfo) (io.Reader, error) {
	if in.r.ContentLength > s.cfg.MaxUploadBytes {
		return nil, s.tooLarge()
	}
	return http.MaxBytesReader(in.w, in.r.Body, s.cfg.MaxUploadBytes), nil
}

// bodyError tells apart what went wrong while a body was stored.
func (s *Server) bodyError(err error) error {
	var large *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &large):
		return s.tooLarge()
	case errors.Is(err, io.ErrUnexpectedEOF):
		return huma.Error400BadRequest("the upload ended before its announced length: send it again")
	case errors.Is(err, blob.ErrInvalidKey):
		return huma.Error400BadRequest(err.Error())
	case errors.Is(err, blob.ErrOffset):
		return huma.NewError(http.StatusRequestedRangeNotSatisfiable, err.Error())
	}
	return err
}

func (s *Server) tooLarge() error {
	return huma.NewError(http.StatusRequestEntityTooLarge,
		fmt.Sprintf("larger than the %d MiB that this server takes in one upload", s.cfg.MaxUploadBytes>>20))
}
