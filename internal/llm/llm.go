// Package llm names the dialects in which model providers are spoken to.
//
// The packages below it are the parts of the road between an agent and a provider: sse cuts streams into events, usage
// reads tokens from answers, price turns tokens into money, transcript keeps what is said, gateway is the proxy that stands between the two, and
// fakellm is a provider to test against. None of them knows trials, sandboxes or the queue.
package llm

// Dialect is the wire format of a model API.
type Dialect string

// The dialects that are understood. Chat and Responses are both OpenAI's; most other providers speak Chat.
const (
	Anthropic Dialect = "anthropic" // POST /v1/messages
	Chat      Dialect = "chat"      // POST /v1/chat/completions
	Responses Dialect = "responses" // POST /v1/responses
	Gemini    Dialect = "gemini"    // POST /v1beta/models/MODEL:generateContent
)

// Dialects lists all dialects in a fixed order.
func Dialects() []Dialect { return []Dialect{Anthropic, Chat, Responses, Gemini} }
