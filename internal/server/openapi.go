package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// OpenAPI returns the API's description (OpenAPI 3.1, indented JSON), the same that a server
// answers at /openapi.json.
func OpenAPI() ([]byte, error) {
	s := newServer(Config{})
	humaAPI := humago.New(s.mux, humaConfig(""))
	s.register(humaAPI)
	return renderOpenAPI(humaAPI)
}

func humaConfig(version string) huma.Config {
	c := huma.DefaultConfig("Oddish", version)
	c.Info.Description = "Runs evaluations of AI agents: tasks × agents × attempts, through a queue with a limit per model. " +
		"Errors are problem documents (RFC 9457); `detail` says what to do. Absent numbers are null, never 0."
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"key": {Type: "http", Scheme: "bearer", Description: "wanted by servers that were started with an API key"},
	}
	c.Security = []map[string][]string{{"key": {}}, {}}
	// huma's own routes are off: the description is served by serveOpenAPI, and its documentation page
	// would load scripts from elsewhere. Answers carry no schema links.
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", ""
	c.CreateHooks = nil
	c.Transformers = []huma.Transformer{plainProblems}
	jsonFormat := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshalWithoutNulls}
	c.Formats = map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat}
	return c
}

// unmarshalWithoutNulls takes null for absent, as the Python client means it.
// huma calls it once for validation, into an any, and once for the handler's type.
func unmarshalWithoutNulls(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	if generic, ok := v.(*any); ok {
		dropNulls(*generic)
	}
	return nil
}

func dropNulls(v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if value == nil {
				delete(v, key)
				continue
			}
			dropNulls(value)
		}
	case []any:
		for _, value := range v {
			dropNulls(value)
		}
	}
}

// serveOpenAPI answers the description. Versions of the program differ in the file only by what they can do.
func (s *Server) serveOpenAPI(a huma.API) error {
	doc, err := renderOpenAPI(a)
	if err != nil {
		return err
	}
	s.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(doc) // a client that left is no error of ours
	})
	return nil
}

func renderOpenAPI(a huma.API) ([]byte, error) {
	doc := a.OpenAPI()
	doc.Info.Version = "1"
	if artifact := doc.Components.Schemas.Map()["Artifact"]; artifact != nil && artifact.OneOf == nil {
		allowPlainArtifact(artifact)
	}
	for path, item := range doc.Paths {
		if plain := strings.ReplaceAll(path, "...}", "}"); plain != path {
			doc.Paths[plain] = item // {path...} is the router's notation, not OpenAPI's
			delete(doc.Paths, path)
		}
	}
	compact, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("render OpenAPI: %w", err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, compact, "", "  "); err != nil {
		return nil, fmt.Errorf("render OpenAPI: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// allowPlainArtifact lets an artifact be a string, as its UnmarshalJSON does.
func allowPlainArtifact(s *huma.Schema) {
	table := *s
	*s = huma.Schema{
		Description: "A path, or an object with a source.",
		OneOf:       []*huma.Schema{{Type: huma.TypeString, MinLength: new(int)}, &table},
	}
	*s.OneOf[0].MinLength = 1
	s.OneOf[0].PrecomputeMessages()
	s.PrecomputeMessages()
}
