package server

import (
	"net/http"
	"strings"
	"testing"
)

// keyedRoutes lists every route with who may use it when the server has a key: "open" for all, "key" for those
// who have it. A route without a line fails the test: whoever adds one says on purpose who may use it.
var keyedRoutes = map[string]string{
	"GET /health":             "open",
	"GET /openapi.json":       "key",
	"GET /metrics":            "key",
	"GET /{$}":                "key",
	"GET /e/{id}":             "key",
	"GET /e/{id}/rows":        "key",
	"GET /t/{id}":             "key",
	"GET /static/{name}":      "key",
	"/":                       "key",
	"POST /tasks/upload/init": "key",
	"PUT /tasks/{id}/versions/{version}/archive":    "key",
	"POST /tasks/upload/complete":                   "key",
	"POST /tasks/sweep":                             "key",
	"GET /tasks":                                    "key",
	"GET /tasks/{id}":                               "key",
	"DELETE /tasks/{id}":                            "key",
	"POST /tasks/cancel":                            "key",
	"GET /tasks/{id}/versions":                      "key",
	"GET /tasks/{id}/versions/{version}":            "key",
	"GET /tasks/{id}/trials/{index}":                "key",
	"GET /trials":                                   "key",
	"POST /trials/retry":                            "key",
	"POST /trials/cancel":                           "key",
	"GET /trials/{id}":                              "key",
	"GET /trials/{id}/attempts":                     "key",
	"POST /trials/{id}/cancel":                      "key",
	"POST /trials/{id}/retry":                       "key",
	"GET /trials/{id}/logs":                         "key",
	"GET /trials/{id}/logs/structured":              "key",
	"GET /trials/{id}/result":                       "key",
	"GET /trials/{id}/trajectory":                   "key",
	"GET /trials/{id}/files":                        "key",
	"GET /trials/{id}/files/{path...}":              "key",
	"GET /experiments":                              "key",
	"GET /experiments/{id}":                         "key",
	"GET /experiments/{id}/trials":                  "key",
	"GET /experiments/{id}/job":                     "key",
	"PATCH /experiments/{id}":                       "key",
	"POST /experiments/import":                      "key",
	"PUT /experiments/{id}/import/{folder}/archive": "key",
	"POST /experiments/{id}/import/{folder}":        "key",
	"POST /experiments/{id}/cancel":                 "key",
	"POST /experiments/{id}/pause":                  "key",
	"POST /experiments/{id}/resume":                 "key",
	"DELETE /experiments/{id}":                      "key",
	"GET /experiments/{id}/events":                  "key",
	"GET /queue":                                    "key",
	"GET /queue/key":                                "key",
	"PUT /queue/limit":                              "key",
	"POST /queue/pause":                             "key",
	"POST /queue/resume":                            "key",
	"POST /worker/v1/claim":                         "key",
	"POST /worker/v1/resume":                        "key",
	"POST /worker/v1/heartbeat":                     "key",
	"POST /worker/v1/cancels":                       "key",
	"POST /worker/v1/jobs/{id}/events":              "key",
	"GET /worker/v1/jobs/{id}/task":                 "key",
	"GET /worker/v1/jobs/{id}/source":               "key",
	"GET /worker/v1/jobs/{id}/recording":            "key",
	"POST /worker/v1/jobs/{id}/finish":              "key",
	"PUT /worker/v1/jobs/{id}/files/{path...}":      "key",
}

func TestEveryRouteIsBehindTheKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.APIKey = "ok_secret" })
	r.key = ""
	for _, pattern := range r.s.mux.patterns {
		who, listed := keyedRoutes[pattern]
		if !listed {
			t.Errorf("route %q has no line in the table: say who may use it", pattern)
			continue
		}
		method, path := exampleOf(pattern)
		for name, tc := range map[string]struct {
			authorization string
			admitted      bool
		}{
			"no key":            {"", who == "open"},
			"a wrong key":       {"Bearer ok_wrong", who == "open"},
			"an empty key":      {"Bearer ", who == "open"},
			"half a key":        {"Bearer ok_secre", who == "open"},
			"a key in no form":  {"ok_secret", who == "open"},
			"the right key":     {"Bearer ok_secret", true},
			"a wrong password":  {basic("ok_wrong"), who == "open"},
			"the key, by Basic": {basic("ok_secret"), who == "open" || method == "GET"},
		} {
			status, text, h := r.request(method, path, nil, "Authorization", tc.authorization)
			if admitted := status != http.StatusUnauthorized; admitted != tc.admitted {
				t.Errorf("%s with %s: %d %s", pattern, name, status, text)
			}
			if status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %s: no WWW-Authenticate", pattern, name)
			}
		}
	}
	if len(r.s.mux.patterns) != len(keyedRoutes) {
		t.Errorf("the table has %d lines for %d routes", len(keyedRoutes), len(r.s.mux.patterns))
	}
}

// exampleOf makes a request of a route that does no harm.
func exampleOf(pattern string) (method, path string) {
	method, path, found := strings.Cut(pattern, " ")
	if !found {
		method, path = "GET", pattern
	}
	path = strings.NewReplacer("{$}", "", "{id}", "nope", "{version}", "1", "{index}", "0", "{path...}", "a/b", "{name}", "oddish.css").Replace(path)
	return method, path
}

func basic(password string) string {
	req, _ := http.NewRequest("GET", "/", nil)
	req.SetBasicAuth("any", password)
	return req.Header.Get("Authorization")
}

func TestABrowserIsAskedForTheKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.APIKey = "ok_secret" })
	_, _, h := r.request("GET", "/", nil, "Authorization", "", "Accept", "text/html")
	if asks := strings.Join(h.Values("WWW-Authenticate"), ", "); !strings.Contains(asks, "Basic") || !strings.Contains(asks, "Bearer") {
		t.Errorf("asked by %q", asks)
	}
	_, _, h = r.request("GET", "/tasks", nil, "Authorization", "")
	if asks := strings.Join(h.Values("WWW-Authenticate"), ", "); strings.Contains(asks, "Basic") {
		t.Errorf("a program is asked by %q", asks)
	}
}

func TestWithAKeyAnyHostNameIsAnswered(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.APIKey = "ok_secret" })
	if status, text, _ := r.request("GET", "/tasks", nil, "Host", "oddish.example.org"); status != 200 {
		t.Errorf("%d %s", status, text)
	}
}

func TestAnUploadURLWorksForClientsThatSendOnlyItsHeaders(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.APIKey = "ok_secret" })
	if u := r.upload("hello", "x"); u.Version != 1 { // with the key everywhere
		t.Fatalf("%+v", u)
	}
	dir := taskDir(t, "hello", "y")
	u := do[struct {
		URL     string            `json:"upload_url"`
		Headers map[string]string `json:"upload_headers"`
	}](r, "POST", "/tasks/upload/init", map[string]string{"name": "hello", "content_hash": digest(t, dir)})
	var headers []string
	for k, v := range u.Headers {
		headers = append(headers, k, v)
	}
	r.key = ""
	if status, text, _ := r.request("PUT", u.URL, archive(t, dir), headers...); status != 204 {
		t.Errorf("%d %s", status, text)
	}
}

func TestWithoutAKeyOnlyThisMachineIsAnswered(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for host, want := range map[string]int{
		"localhost": 200, "localhost:8000": 200, "LOCALHOST:1": 200, "127.0.0.1:8000": 200, "127.0.0.1": 200, "[::1]:8000": 200, "[::1]": 200,
		"evil.example": 421, "evil.example:8000": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "127.0.0.2": 421, "0.0.0.0:8000": 421,
	} {
		for _, path := range []string{"/tasks", "/health", "/"} {
			if status, _, _ := r.request("GET", path, nil, "Host", host); status != want {
				t.Errorf("Host %s, %s: %d, want %d", host, path, status, want)
			}
		}
	}
}

func TestRequestsFromOtherOriginsAreRefused(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{"without a key": "", "with a key": "ok_secret"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *Config) { c.APIKey = key })
			sub := r.submit("a", 1)
			own := r.http.URL
			stream := "/experiments/" + sub.ExperimentID + "/events?follow=false"
			cancel := "/experiments/" + sub.ExperimentID + "/cancel"
			for _, tc := range []struct {
				method, path string
				headers      []string
				want         int
			}{
				{"POST", cancel, []string{"Origin", "https://evil.example"}, 403},
				{"POST", cancel, []string{"Origin", "null"}, 403},
				{"POST", cancel, []string{"Origin", "http://localhost:1"}, 403},
				{"POST", cancel, []string{"Sec-Fetch-Site", "cross-site"}, 403},
				{"POST", cancel, []string{"Sec-Fetch-Site", "same-site"}, 403},
				{"DELETE", "/tasks/" + sub.ID, []string{"Origin", "https://evil.example"}, 403},
				{"PUT", "/queue/limit?key=x", []string{"Origin", "https://evil.example"}, 403},
				{"OPTIONS", cancel, []string{"Origin", "https://evil.example"}, 403},
				{"GET", stream, []string{"Origin", "https://evil.example"}, 403},
				{"GET", stream, []string{"Origin", own}, 200},
				{"GET", stream, []string{"Sec-Fetch-Site", "same-origin"}, 200},
				{"GET", "/", []string{"Sec-Fetch-Site", "cross-site"}, 200}, // a link
				{"POST", cancel, []string{"Origin", own, "Sec-Fetch-Site", "same-origin"}, 200},
				{"POST", cancel, nil, 200},
			} {
				if status, text, h := r.request(tc.method, tc.path, nil, tc.headers...); status != tc.want {
					t.Errorf("%s %s with %v: %d, want %d: %s", tc.method, tc.path, tc.headers, status, tc.want, text)
				} else if h.Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("%s %s allows other origins to read", tc.method, tc.path)
				}
			}
		})
	}
}
