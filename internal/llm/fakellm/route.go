package fakellm

import (
	"strings"

	"oddish/internal/llm"
)

// route tells the dialect from the path, which may have any prefix, as behind a base URL with a path.
func route(method, path, alt string) (query, bool) {
	if method != "POST" {
		return query{}, false
	}
	switch {
	case strings.HasSuffix(path, "/v1/messages"):
		return query{dialect: llm.Anthropic}, true
	case strings.HasSuffix(path, "/v1/messages/count_tokens"):
		return query{dialect: llm.Anthropic, count: true}, true
	case strings.HasSuffix(path, "/chat/completions"):
		return query{dialect: llm.Chat}, true
	case strings.HasSuffix(path, "/responses"), strings.HasSuffix(path, "/responses/compact"):
		return query{dialect: llm.Responses}, true
	}
	_, rest, is := strings.Cut(path, "/models/")
	model, verb, verbed := strings.Cut(rest, ":")
	q := query{dialect: llm.Gemini, model: model}
	switch verb {
	case "generateContent":
	case "streamGenerateContent":
		q.stream = true
		q.array = alt != "sse"
	case "countTokens":
		q.count = true
	default:
		return query{}, false
	}
	return q, is && verbed
}

// counted is the answer to a request that only counts.
func counted(d llm.Dialect, input int64) object {
	if d == llm.Gemini {
		return object{"totalTokens": input}
	}
	return object{"input_tokens": input}
}

func modelList(ids []string) object {
	if len(ids) == 0 {
		ids = []string{"fake-model"}
	}
	var data, models []any
	for _, id := range ids {
		data = append(data, object{"id": id, "object": "model", "type": "model", "owned_by": "fake", "display_name": id})
		models = append(models, object{"name": "models/" + id, "displayName": id})
	}
	return object{"object": "list", "data": data, "models": models, "has_more": false}
}
