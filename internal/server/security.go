package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// guard lets through what may be answered and refuses the rest. It stands in front of every route,
// so a new one is protected without a word.
//
// Without an API key the server trusts whoever is on this machine. A web page elsewhere must not pass for
// them: the Host header has to name this machine (a name that an attacker's DNS points at 127.0.0.1
// does not), and what changes something must not come from another origin.
func (s *Server) guard(next http.Handler) http.Handler {
	key := sha256.Sum256([]byte(s.cfg.APIKey))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case s.cfg.APIKey == "" && !namesThisMachine(r.Host):
			writeProblem(w, http.StatusMisdirectedRequest,
				"without an API key this server answers only as localhost, 127.0.0.1 or [::1], not as "+quoteHost(r.Host))
		case mustBeSameOrigin(r) && crossOrigin(r):
			writeProblem(w, http.StatusForbidden, "requests from pages of other origins are refused")
		case s.cfg.APIKey != "" && !open(r) && !carriesKey(r, key):
			refuseKey(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// open reports whether the request needs no key.
func open(r *http.Request) bool { return r.URL.Path == "/health" && safe(r.Method) }

func safe(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// mustBeSameOrigin: everything that is not a plain read, and event streams, which a page
// elsewhere could hold open.
func mustBeSameOrigin(r *http.Request) bool {
	return !safe(r.Method) || strings.HasSuffix(r.URL.Path, "/events")
}

// crossOrigin reports whether a browser sent the request for a page of another origin. Programs
// that are no browsers send neither header.
func crossOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return true
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host)
}

func namesThisMachine(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	switch strings.ToLower(strings.Trim(host, "[]")) {
	case "localhost", "127.0.0.1", "::1":
		return true
	}
	return false
}

// carriesKey compares digests, so that the time tells nothing of the key. A browser cannot send a bearer token
// by itself, so reads also take the key as the password of Basic authentication.
func carriesKey(r *http.Request, want [sha256.Size]byte) bool {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !bearer && safe(r.Method) {
		_, token, bearer = r.BasicAuth()
	}
	got := sha256.Sum256([]byte(token))
	return bearer && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

func refuseKey(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="oddish"`)
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Add("WWW-Authenticate", `Basic realm="Oddish: any user name, the API key as password", charset="UTF-8"`)
	}
	writeProblem(w, http.StatusUnauthorized, "this server wants an API key: send Authorization: Bearer KEY (clients read it from ODDISH_API_KEY)")
}

// quoteHost makes a Host header fit to be shown.
func quoteHost(host string) string {
	if len(host) > 100 {
		host = host[:100] + "…"
	}
	return `"` + strings.ReplaceAll(host, `"`, "") + `"`
}
