package api

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestArtifactAcceptsAPathOrAnObject(t *testing.T) {
	t.Parallel()
	var got []Artifact
	in := `["/app/report.txt", {"source": "/app/out", "destination": "out", "exclude": ["*.tmp"]}]`
	if err := json.Unmarshal([]byte(in), &got); err != nil {
		t.Fatal(err)
	}
	want := []Artifact{
		{Source: "/app/report.txt"},
		{Source: "/app/out", Destination: "out", Exclude: []string{"*.tmp"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := json.Unmarshal([]byte(`[7]`), &got); err == nil {
		t.Error("a number was taken for an artifact")
	}
}
