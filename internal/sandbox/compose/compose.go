// Package compose drives the `docker compose` plugin for sandboxes of several services.
//
// It makes one closed project of a task's compose files: the plugin merges them, what would reach beyond the sandbox is refused, and what
// trials share a machine with is made private to each. Package docker, above it, owns the engine, its images and the containers; this one
// knows nothing of them, nor of trials.
package compose

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
)

// MainService is the service in which the agent works.
const MainService = "main"

// ProjectLabel is the plugin's label with the name of the project, on every container, network and volume of it.
const ProjectLabel = "com.docker.compose.project"

// ServiceLabel is the plugin's label with the name of the service, on every container.
const ServiceLabel = "com.docker.compose.service"

var notInProjects = regexp.MustCompile(`[^a-z0-9_-]+`)

// ProjectName makes a legal and unique name of a project of a sandbox's, whose start stays readable.
func ProjectName(name string) string {
	return fmt.Sprintf("oddish-%.40s-%08x", notInProjects.ReplaceAllString(strings.ToLower(name), "-"), rand.Uint32())
}

// Project is the merged and closed form of compose files, as JSON that the plugin reads again.
type Project struct{ doc map[string]any }

// parse reads what `docker compose config --format json` wrote.
func parse(data []byte) (*Project, error) {
	p := &Project{}
	if err := json.Unmarshal(data, &p.doc); err != nil {
		return nil, fmt.Errorf("read the merged compose file: %w", err)
	}
	return p, nil
}

// Name is the project's name.
func (p *Project) Name() string {
	name, _ := p.doc["name"].(string)
	return name
}

// JSON is the project as a compose file.
func (p *Project) JSON() ([]byte, error) { return json.MarshalIndent(p.doc, "", "  ") }

// Services gives the names of the services in no order.
func (p *Project) Services() []string {
	var names []string
	for name := range object(p.doc["services"]) {
		names = append(names, name)
	}
	return names
}

// Image is the image of a service, and whether it is to be built.
func (p *Project) Image(service string) (image string, build bool) {
	s := p.service(service)
	image, _ = s["image"].(string)
	return image, s["build"] != nil
}

func (p *Project) service(name string) map[string]any { return object(object(p.doc["services"])[name]) }

// buildDigest is the key under which a service's build is shared: all that it is made of lies in the folder of
// that digest, wherever the folder is.
func buildDigest(dir, digest string, build map[string]any) (string, error) {
	text, err := json.Marshal(build)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(digest + "\x00" + strings.ReplaceAll(string(text), dir, "")))
	return hex.EncodeToString(sum[:16]), nil
}

// object gives a JSON object, or an empty one.
func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	if m == nil {
		m = map[string]any{}
	}
	return m
}

// list gives a JSON array, or an empty one.
func list(v any) []any {
	l, _ := v.([]any)
	return l
}
