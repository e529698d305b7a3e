package store

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	relative, err := filepath.Abs("data/oddish.db")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, url string
		engine    engine
		want      string
	}{
		{"an absolute SQLite path", "sqlite:////data/oddish.db", sqlite, "/data/oddish.db"},
		{"a relative SQLite path", "sqlite:///data/oddish.db", sqlite, relative},
		{"a Python form for SQLite", "sqlite+aiosqlite:////data/oddish.db", sqlite, "/data/oddish.db"},
		{"a path with signs that URLs use", "sqlite:////data/a b%20?#.db", sqlite, "/data/a b%20?#.db"},
		{"postgresql", "postgresql://u:p@h:5/db?sslmode=require", postgres, "postgresql://u:p@h:5/db?sslmode=require"},
		{"postgres", "postgres://h/db", postgres, "postgresql://h/db"},
		{"the Python form", "postgresql+asyncpg://u:p%40@h/db", postgres, "postgresql://u:p%40@h/db"},
		{"the Python form with its own TLS option", "postgresql+asyncpg://h/db?ssl=require", postgres, "postgresql://h/db?sslmode=require"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			engine, got, err := parseURL(tt.url)
			if err != nil || engine != tt.engine || got != tt.want {
				t.Errorf("parseURL(%q) = %v, %q, %v, want %q", tt.url, engine, got, err, tt.want)
			}
		})
	}
}

func TestSQLitePathIsThatOfSQLiteOnly(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{"sqlite:////a/b.db": "/a/b.db", "sqlite+aiosqlite:////a": "/a", "postgres://h/db": "", "a.db": "", "sqlite:///": ""} {
		if got, ok := SQLitePath(url); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", url, got, ok)
		}
	}
}

func TestParseURLRefusesAndKeepsPasswords(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"", "oddish.db", "mysql://u:hunter2@h/db", "sqlite://", "sqlite:///", "sqlite://relative.db", "sqlite:///:memory:",
		"postgresql+asyncpg://u:hunter2%zz@h/db", "postgresql://u:hunter2@[h/db",
	} {
		_, _, err := parseURL(url)
		if err == nil {
			t.Errorf("parseURL(%q) gave no error", url)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error repeats the password: %v", err)
		}
	}
}
