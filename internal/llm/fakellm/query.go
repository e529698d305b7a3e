package fakellm

import (
	"encoding/json"
	"strings"

	"oddish/internal/llm"
)

type object = map[string]any

// query is what the server needs to know of a request, whatever its dialect.
type query struct {
	dialect llm.Dialect
	model   string
	stream  bool
	usage   bool // a chat stream shall end with its usage
	array   bool // a Gemini stream is a JSON array
	count   bool // only the tokens of the input are asked for
	helper  bool
	turn    int
	tools   []tool
}

// tool is one that the request declares.
type tool struct {
	name   string
	custom bool // takes free text (OpenAI's custom tools)
	schema object
}

// request has the fields of all dialects that matter here.
type request struct {
	Model    string   `json:"model"`
	Stream   bool     `json:"stream"`
	Tools    []object `json:"tools"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	Input    json.RawMessage `json:"input"`
	Previous string          `json:"previous_response_id"`
	Contents []struct {
		Role  string   `json:"role"`
		Parts []object `json:"parts"`
	} `json:"contents"`
	StreamOptions struct {
		Usage bool `json:"include_usage"`
	} `json:"stream_options"`
	MaxTokens       int64 `json:"max_tokens"`
	MaxCompletion   int64 `json:"max_completion_tokens"`
	MaxOutput       int64 `json:"max_output_tokens"`
	GenerationLimit struct {
		Max int64 `json:"maxOutputTokens"`
	} `json:"generationConfig"`
}

// smallAnswer is the number of tokens up to which a request can't be one for real work.
const smallAnswer = 64

func (s Script) read(q query, r request) query {
	q.tools = declared(q.dialect, r.Tools)
	q.stream = q.stream || r.Stream
	q.usage = r.StreamOptions.Usage
	if q.model == "" {
		q.model = r.Model
	}
	results, answers := r.history(q.dialect)
	if q.turn = results; s.TextAgent {
		q.turn = answers
		return q
	}
	limit := max(r.MaxTokens, r.MaxCompletion, r.MaxOutput, r.GenerationLimit.Max)
	q.helper = len(q.tools) == 0 || limit > 0 && limit <= smallAnswer
	return q
}

// history counts the tool results and the assistant's messages that the request carries.
func (r request) history(d llm.Dialect) (results, answers int) {
	switch d {
	case llm.Gemini:
		for _, c := range r.Contents {
			if c.Role == "model" {
				answers++
			}
			for _, part := range c.Parts {
				if _, is := part["functionResponse"]; is {
					results++
				}
			}
		}
		return results, answers
	case llm.Responses:
		return r.items()
	}
	for _, m := range r.Messages {
		switch m.Role {
		case "assistant":
			answers++
		case "tool":
			results++
		default:
			results += blocks(m.Content, "tool_result")
		}
	}
	return results, answers
}

// items counts in the input of Responses, on top of what the response continued from had counted.
func (r request) items() (results, answers int) {
	results = turnOf(r.Previous)
	var items []struct {
		Type string `json:"type"`
		Role string `json:"role"`
	}
	if json.Unmarshal(r.Input, &items) != nil {
		return results, answers
	}
	for _, item := range items {
		if strings.HasSuffix(item.Type, "_call_output") {
			results++
		}
		if item.Role == "assistant" {
			answers++
		}
	}
	return results, answers
}

func blocks(content json.RawMessage, kind string) int {
	var list []struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(content, &list) != nil {
		return 0
	}
	n := 0
	for _, b := range list {
		if b.Type == kind {
			n++
		}
	}
	return n
}

func declared(d llm.Dialect, list []object) []tool {
	var tools []tool
	for _, t := range list {
		switch d {
		case llm.Gemini:
			functions, _ := t["functionDeclarations"].([]any)
			for _, f := range functions {
				if f, is := f.(object); is {
					tools = append(tools, tool{name: str(f["name"]), schema: schemaOf(f, "parametersJsonSchema", "parameters")})
				}
			}
		case llm.Chat:
			if f, is := t["function"].(object); is {
				tools = append(tools, tool{name: str(f["name"]), schema: schemaOf(f, "parameters")})
			}
		default:
			name := str(t["name"])
			if name == "" {
				name = str(t["type"])
			}
			tools = append(tools, tool{name: name, custom: t["type"] == "custom" && d == llm.Responses, schema: schemaOf(t, "input_schema", "parameters")})
		}
	}
	return tools
}

func schemaOf(t object, keys ...string) object {
	for _, key := range keys {
		if s, is := t[key].(object); is {
			return s
		}
	}
	return nil
}

func str(v any) string {
	s, _ := v.(string)
	return s
}
