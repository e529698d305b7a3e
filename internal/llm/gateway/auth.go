package gateway

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// credentials finds the tokens of a request in all places where agents put keys, and the path without one: /t/TOKEN/… comes
// first, since who uses it may send anything as key.
func credentials(r *http.Request) (tokens []string, path string) {
	path = r.URL.Path
	if rest, is := strings.CutPrefix(path, "/t/"); is {
		token, after, _ := strings.Cut(rest, "/")
		return []string{token}, "/" + after
	}
	if scheme, value, is := strings.Cut(r.Header.Get("Authorization"), " "); is && strings.EqualFold(scheme, "bearer") {
		tokens = append(tokens, strings.TrimSpace(value))
	}
	tokens = append(tokens, r.Header.Get("X-Api-Key"), r.Header.Get("X-Goog-Api-Key"), r.Header.Get("Api-Key"), r.URL.Query().Get("key"))
	return slices.DeleteFunc(tokens, func(t string) bool { return t == "" }), path
}

// requestHeader gives the headers to send upstream: the agent's without credentials, accounts and what belongs to its own connection.
func requestHeader(in http.Header, u *upstream) http.Header {
	out := withoutHops(in)
	for _, name := range []string{
		"Authorization", "X-Api-Key", "X-Goog-Api-Key", "Api-Key", "Cookie", "Proxy-Authorization", // credentials
		"Openai-Organization", "Openai-Project", "X-Goog-User-Project", // whose account pays
		"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via", // where the sandbox is
		"Accept-Encoding", "Content-Length", "Host", "Expect",
	} {
		out.Del(name)
	}
	out.Set("Accept-Encoding", "identity")
	for name, values := range u.header {
		out[http.CanonicalHeaderKey(name)] = values
	}
	return out
}

// answerHeader gives the headers to pass on to the agent.
func answerHeader(in http.Header, secrets [][]byte) http.Header {
	out := withoutHops(in)
	for _, name := range []string{"Set-Cookie", "Content-Length", "Content-Encoding", "Openai-Organization", "Openai-Project", "Anthropic-Organization-Id", "Alt-Svc", "Strict-Transport-Security"} {
		out.Del(name)
	}
	for name, values := range out {
		for i, v := range values {
			out[name][i] = string(redact([]byte(v), secrets))
		}
	}
	return out
}

// withoutHops copies headers without those that concern one connection only.
func withoutHops(in http.Header) http.Header {
	out := in.Clone()
	for _, list := range in.Values("Connection") {
		for name := range strings.SplitSeq(list, ",") {
			out.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Te", "Trailer", "Transfer-Encoding", "Upgrade"} {
		out.Del(name)
	}
	return out
}

// withoutKey gives the query without the key.
func withoutKey(q url.Values) url.Values {
	q.Del("key")
	return q
}

// redact replaces secrets: some servers repeat the key that they did not like.
func redact(data []byte, secrets [][]byte) []byte {
	for _, secret := range secrets {
		if bytes.Contains(data, secret) {
			data = bytes.ReplaceAll(data, secret, []byte("[key removed]"))
		}
	}
	return data
}
