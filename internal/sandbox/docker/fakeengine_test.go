package docker_test

import (
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"oddish/internal/sandbox/docker"
)

// fakeEngine answers as the Engine API says, up to the making of a container, for what no real engine of the tests has.
type fakeEngine struct {
	provider *docker.Provider
	info     string

	mu       sync.Mutex
	requests map[string]int // by the resource: version, images, create, ...
	made     map[string]any // the last request for a container
}

func newFakeEngine(t *testing.T, info string) *fakeEngine {
	t.Helper()
	return newFakeEngineFor(t, info, docker.Config{})
}

// newFakeEngineFor makes an engine and a provider of that configuration for it.
func newFakeEngineFor(t *testing.T, info string, c docker.Config) *fakeEngine {
	t.Helper()
	e := &fakeEngine{info: info, requests: map[string]int{}}
	dir, err := os.MkdirTemp("", "engine-") // names of sockets must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "docker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: e}}
	server.Start()
	t.Cleanup(server.Close)
	c.Host = "unix://" + socket
	p, err := docker.New(c)
	if err == nil {
		err = p.Check(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	e.provider = p
	return e
}

func (e *fakeEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w.Header().Set("Api-Version", "1.44")
	w.Header().Set("Ostype", "linux")
	path := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	answer := "{}"
	switch {
	case path == "info":
		answer = e.info
	case path == "version":
		answer = `{"Os": "linux", "Arch": "amd64"}`
	case strings.HasSuffix(r.URL.Path, "/json"):
		path = "images"
		answer = `{"Id": "i", "Os": "linux", "Architecture": "amd64"}`
	case path == "create":
		_ = json.NewDecoder(r.Body).Decode(&e.made)
		w.WriteHeader(http.StatusInternalServerError)
		answer = `{"message": "enough is known"}`
	}
	e.requests[path]++
	_, _ = io.WriteString(w, answer)
}

// asked gives the number of requests by resource.
func (e *fakeEngine) asked() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.requests)
}

// container is what was asked for when a container was to be made.
func (e *fakeEngine) container() map[string]any {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.made
}
