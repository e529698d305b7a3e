package composefile

import (
	"errors"
	"reflect"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       File
	}{
		{name: "an empty file", text: ""},
		{name: "services are sorted", text: "services: {web: {}, db: {image: x}}", want: File{Services: []string{"db", "web"}}},
		{
			name: "variables, with a default or without",
			text: "# ${NOT}\nservices:\n  db:\n    image: ${IMG:-x}/$NAME\n    command: echo $$HOME ${IMG}\n",
			want: File{Services: []string{"db"}, Variables: []Variable{{Name: "IMG", Line: 5}, {Name: "NAME", Line: 4}}},
		},
		{
			name: "variables that are passed on by name",
			text: "services:\n  a: {environment: [TOKEN, X=1]}",
			want: File{Services: []string{"a"}, Variables: []Variable{{Name: "TOKEN", Optional: true}}},
		},
		{
			name: "files that the plugin would read, also of a second document",
			text: "services: {a: {env_file: [x.env, {path: y.env}]}}\n---\ninclude: [z.yaml]\nservices: {a: {extends: {file: b.yaml, service: s}}}",
			want: File{Services: []string{"a"}, Include: true, Reads: []Read{
				{Key: "services.a.env_file", Path: "x.env"}, {Key: "services.a.env_file", Path: "y.env"},
				{Key: "services.a.extends.file", Path: "b.yaml", Compose: true},
			}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(*got, tt.want) {
				t.Errorf("got %+v, want %+v", *got, tt.want)
			}
		})
	}
}

func TestParseTellsTheLineOfBadYAML(t *testing.T) {
	t.Parallel()
	_, err := Parse([]byte("services:\n  db:\n    image: [x\n"))
	e := (*Error)(nil)
	if !errors.As(err, &e) || e.Line == 0 {
		t.Fatalf("got %v, want an error with a line", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("services: {a: {env_file: x, extends: {file: y}, environment: [A]}}\n---\ninclude: z"))
	f.Fuzz(func(t *testing.T, data []byte) { _, _ = Parse(data) })
}
