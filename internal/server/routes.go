package server

import (
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// recordingMux is an http.ServeMux that remembers its patterns, so that tests can prove
// that each of them is behind the checks.
type recordingMux struct {
	*http.ServeMux
	patterns []string
}

func newRecordingMux() *recordingMux { return &recordingMux{ServeMux: http.NewServeMux()} }

// HandleFunc registers a handler, as http.ServeMux does.
func (m *recordingMux) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	m.Handle(pattern, http.HandlerFunc(h))
}

// Handle registers a handler, as http.ServeMux does.
func (m *recordingMux) Handle(pattern string, h http.Handler) {
	m.patterns = append(m.patterns, pattern)
	m.ServeMux.Handle(pattern, h)
}

// op describes an operation in one line; its id is made of method and path.
func op(method, path, tag, summary string) huma.Operation {
	return huma.Operation{
		OperationID: operationID(method, path),
		Method:      method,
		Path:        path,
		Tags:        []string{tag},
		Summary:     summary,
		// The read deadline is renewed for each read by package server itself: huma's would end
		// held requests, because it stays on the connection after the body.
		BodyReadTimeout: -1,
	}
}

func operationID(method, path string) string {
	words := strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune("/{}._$", r) })
	return strings.ToLower(method) + "-" + strings.Join(words, "-")
}

func notFound(w http.ResponseWriter, r *http.Request) {
	writeProblem(w, http.StatusNotFound, "there is nothing at "+r.Method+" "+r.URL.Path+"; the routes are listed at /openapi.json")
}
