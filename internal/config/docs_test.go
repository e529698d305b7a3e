package config

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/configuration.md")

const (
	tableBegin = "<!-- settings: generated from internal/config/config.go by `go test ./internal/config -update` -->\n"
	tableEnd   = "<!-- end of settings -->\n"
)

// The documentation's table is made of the comments of Config's fields.
func TestConfigurationDocumentIsCurrent(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "..", "docs", "configuration.md")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), tableBegin)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		t.Fatalf("%s lacks the lines that mark its table", path)
	}
	want := before + tableBegin + settingsTable(t) + tableEnd + after
	if want == string(data) {
		return
	}
	if !*update {
		t.Fatalf("%s does not agree with config.go: run `go test ./internal/config -update`", path)
	}
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// settingsTable renders one table for each section, where a section is a comment of one word that stands alone.
func settingsTable(t *testing.T) string {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	structType := file.Scope.Lookup("Config").Decl.(*ast.TypeSpec).Type.(*ast.StructType)
	var b strings.Builder
	prev := structType.Fields.Opening
	for _, f := range structType.Fields.List {
		tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`"))
		if name := tag.Get("env"); name != "-" {
			if s := sectionBetween(file, prev, f.Doc.Pos()); s != "" {
				fmt.Fprintf(&b, "\n### %s\n\n| Variable | Default | Meaning |\n| --- | --- | --- |\n", s)
			}
			def := tag.Get("envDefault")
			if def != "" {
				def = "`" + def + "`"
			}
			doc := strings.ReplaceAll(strings.TrimSpace(f.Doc.Text()), "\n", " ")
			if text, d, ok := strings.Cut(doc, " Default: "); ok {
				doc, def = text, strings.TrimSuffix(d, ".")
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, def, doc)
		}
		prev = f.End()
	}
	b.WriteString("\n")
	return b.String()
}

func sectionBetween(file *ast.File, from, to token.Pos) string {
	for _, c := range file.Comments {
		if c.Pos() > from && c.End() < to && c.Pos() < to {
			return strings.TrimSpace(c.Text())
		}
	}
	return ""
}
