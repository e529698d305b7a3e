package store

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// engine tells the two kinds of database apart.
type engine int

const (
	sqlite engine = iota
	postgres
)

func (e engine) String() string {
	if e == postgres {
		return "PostgreSQL"
	}
	return "SQLite"
}

// SQLitePath gives the absolute path of the file that a URL of a SQLite database names; not ok for other URLs.
func SQLitePath(url string) (path string, ok bool) {
	kind, path, err := parseURL(url)
	if err != nil || kind != sqlite {
		return "", false
	}
	return path, true
}

// parseURL gives the engine and what its driver opens: a file's absolute path for SQLite, a
// connection URL for PostgreSQL. Its errors never repeat the URL, which may hold a password.
func parseURL(raw string) (engine, string, error) {
	scheme, rest, found := strings.Cut(raw, "://")
	dialect, driver, _ := strings.Cut(scheme, "+")
	switch {
	case !found:
		return 0, "", fmt.Errorf("database URL has no scheme: use sqlite:///path or postgresql://user:password@host/name")
	case dialect == "sqlite":
		path, err := sqlitePath(rest)
		return sqlite, path, err
	case dialect == "postgresql", dialect == "postgres":
		dsn, err := postgresURL("postgresql://"+rest, driver)
		return postgres, dsn, err
	}
	return 0, "", fmt.Errorf("database URL begins with %q: use sqlite:///path or postgresql://user:password@host/name", scheme)
}

// sqlitePath takes what follows "sqlite://": a slash, then the path as it is, absolute or relative to the
// working directory (so that an absolute one has four slashes, as in Python).
func sqlitePath(rest string) (string, error) {
	path, found := strings.CutPrefix(rest, "/")
	if !found || path == "" {
		return "", fmt.Errorf("database URL names no file: write sqlite:///relative/path or sqlite:////absolute/path")
	}
	if path == ":memory:" {
		return "", fmt.Errorf("database URL asks for a database in memory: name a file, results have to last")
	}
	return filepath.Abs(path)
}

// postgresURL drops what only the Python drivers understand.
func postgresURL(raw, driver string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", fmt.Errorf("database URL cannot be read: check that special characters in the password are percent-encoded")
	}
	if driver == "" {
		return raw, nil
	}
	query := u.Query()
	if mode := query.Get("ssl"); mode != "" {
		query.Set("sslmode", mode)
		query.Del("ssl")
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}
