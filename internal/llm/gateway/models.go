package gateway

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
)

// listed gives the models that the trial is told of without asking its provider: those that are allowed, and in a replay those that were called, if the
// provider was not asked then. Empty: ask.
func (s *Session) listed() []string {
	if s.replayer == nil {
		return slices.Sorted(maps.Keys(s.models.allowed))
	}
	if s.trial.Replay.listed {
		return nil
	}
	return slices.Sorted(maps.Keys(s.trial.Replay.called))
}

// writeModels lists models in a form that is all dialects' at once.
func writeModels(w http.ResponseWriter, ids []string) {
	type entry map[string]any
	var data, models []entry
	for _, id := range ids {
		data = append(data, entry{"id": id, "object": "model", "type": "model", "display_name": id, "owned_by": "trial", "created": 0})
		models = append(models, entry{"name": "models/" + id, "displayName": id, "supportedGenerationMethods": []string{"generateContent", "countTokens"}})
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(entry{"object": "list", "data": data, "models": models, "has_more": false}) //nolint:errcheck // an agent that left needs no answer
}
