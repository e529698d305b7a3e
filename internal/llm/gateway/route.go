package gateway

import (
	"net/http"
	"strings"

	"oddish/internal/llm"
)

// route is what a request wants, read from its path.
type route struct {
	dialect llm.Dialect
	version string // the API's version that the upstream expects before rest: v1 or v1beta
	rest    string // the path after the version
	kind    routeKind
	model   string // in Gemini's paths
	stream  bool   // in Gemini's paths
}

type routeKind int

const (
	unknownRoute routeKind = iota
	hello                  // is anybody there
	modelsRoute            // which models are there
	countRoute             // how many tokens would it be: free, not a call
	callRoute
)

// parseRoute reads a path without the token. Prefixes that agents put twice or leave out (/v1, /v1beta) are tolerated.
func parseRoute(method, path string) route {
	path = strings.Trim(path, "/")
	version := ""
	for {
		first, rest, _ := strings.Cut(path, "/")
		if first != "v1" && first != "v1beta" && first != "v1alpha" {
			break
		}
		version, path = first, rest
	}
	read := method == http.MethodGet || method == http.MethodHead
	switch {
	case read && (path == "" || path == "api/hello"):
		return route{kind: hello}
	case read && path == "models":
		return route{kind: modelsRoute, dialect: modelsDialect(version), version: or(version, "v1"), rest: path}
	case method != http.MethodPost:
		return route{dialect: dialectOf(path)}
	}
	return postRoute(path, version)
}

func postRoute(path, version string) route {
	r := route{dialect: dialectOf(path), version: "v1", rest: path}
	switch path {
	case "messages", "chat/completions", "responses", "responses/compact":
		r.kind = callRoute
		return r
	case "messages/count_tokens", "responses/input_tokens":
		r.kind = countRoute
		return r
	}
	name, is := strings.CutPrefix(path, "models/")
	model, verb, verbed := strings.Cut(name, ":")
	if !is || !verbed || model == "" || strings.Contains(model, "..") {
		return r
	}
	r.version, r.model = or(version, "v1beta"), model
	switch verb {
	case "generateContent":
		r.kind = callRoute
	case "streamGenerateContent":
		r.kind, r.stream = callRoute, true
	case "countTokens":
		r.kind = countRoute
	}
	return r
}

// withModel gives the route with another model in its path.
func (r route) withModel(model string) route {
	if r.dialect == llm.Gemini && r.model != "" {
		r.rest = "models/" + model + r.rest[strings.LastIndexByte(r.rest, ':'):]
	}
	return r
}

// dialectOf guesses in which dialect to answer, also for what is no route.
func dialectOf(path string) llm.Dialect {
	switch {
	case strings.HasPrefix(path, "messages"):
		return llm.Anthropic
	case strings.HasPrefix(path, "responses"):
		return llm.Responses
	case strings.HasPrefix(path, "models/"):
		return llm.Gemini
	}
	return llm.Chat
}

func modelsDialect(version string) llm.Dialect {
	if strings.HasPrefix(version, "v1beta") {
		return llm.Gemini
	}
	return llm.Chat
}
