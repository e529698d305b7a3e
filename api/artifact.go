package api

import (
	"encoding/json"
	"fmt"
)

// Artifact is something to fetch from the sandbox when the agent has ended: a path,
// and where to put it. On the wire a plain string stands for {"source": string}.
type Artifact struct {
	// Source is a path in the sandbox; a relative one is taken from the working directory.
	Source string `json:"source"`
	// Destination is a relative path below the trial's artifacts folder; empty: the source's own path.
	Destination string `json:"destination,omitempty"`
	// Exclude lists tar exclude patterns.
	Exclude []string `json:"exclude,omitempty"`
	// Service is the compose service to fetch from; empty: main.
	Service string `json:"service,omitempty"`
}

// UnmarshalJSON accepts both forms.
func (a *Artifact) UnmarshalJSON(b []byte) error {
	var path string
	if err := json.Unmarshal(b, &path); err == nil {
		*a = Artifact{Source: path}
		return nil
	}
	type plain Artifact // without this method
	var p plain
	if err := json.Unmarshal(b, &p); err != nil {
		return fmt.Errorf("an artifact is a path or an object with a source: %w", err)
	}
	*a = Artifact(p)
	return nil
}
