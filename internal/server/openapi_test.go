package server

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestTheCommittedDescriptionIsTheServersOwn(t *testing.T) {
	t.Parallel()
	const path = "../../docs/openapi.json"
	got := must(OpenAPI())
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got) {
		t.Errorf("%s is not what the server does: go test ./internal/server -run Description -update rewrites it", path)
	}
}

func TestTheServerServesItsDescription(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, text, h := r.request("GET", "/openapi.json", nil)
	if text != string(must(OpenAPI())) || h.Get("Content-Type") != "application/openapi+json" {
		t.Error("the served description is another than OpenAPI gives")
	}
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct{ OperationID, Summary string }
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("it is of version %s", doc.OpenAPI)
	}
	described, ids := 0, map[string]bool{}
	for path, methods := range doc.Paths {
		for method, o := range methods {
			described++
			if o.Summary == "" || ids[o.OperationID] {
				t.Errorf("%s %s has no summary, or the id %s twice", method, path, o.OperationID)
			}
			ids[o.OperationID] = true
		}
	}
	const undescribed = 8 // the description itself, the pages, /static, /metrics and the rest
	if described != len(r.s.mux.patterns)-undescribed {
		t.Errorf("%d of %d routes are described", described, len(r.s.mux.patterns))
	}
}
