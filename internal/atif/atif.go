// Package atif holds ATIF, the format in which the trajectories of agents are kept: its types, which accept and write every version
// from 1.0 to 1.7, a validator, and a builder for those who make one from an agent's log.
//
// It knows no agent: package agent, above it, reads their logs.
package atif

import "encoding/json"

// Version is the version that is written.
const Version = "ATIF-v1.7"

// Sources of a step.
const (
	SourceSystem = "system"
	SourceUser   = "user"
	SourceAgent  = "agent"
)

// Trajectory is what an agent did in one run.
type Trajectory struct {
	SchemaVersion   string         `json:"schema_version"`
	SessionID       string         `json:"session_id,omitempty"`
	TrajectoryID    string         `json:"trajectory_id,omitempty"`
	Agent           Agent          `json:"agent"`
	Steps           []Step         `json:"steps"`
	Notes           string         `json:"notes,omitempty"`
	FinalMetrics    *FinalMetrics  `json:"final_metrics,omitempty"`
	ContinuedRef    string         `json:"continued_trajectory_ref,omitempty"`
	Extra           map[string]any `json:"extra,omitempty"`
	SubTrajectories []Trajectory   `json:"subagent_trajectories,omitempty"`
}

// Agent tells who acted.
type Agent struct {
	Name            string            `json:"name"`
	Version         string            `json:"version"`
	ModelName       string            `json:"model_name,omitempty"`
	ToolDefinitions []json.RawMessage `json:"tool_definitions,omitempty"`
	Extra           map[string]any    `json:"extra,omitempty"`
}

// Step is one message of the system, the user or the agent. What only agents do is forbidden in the steps of others.
type Step struct {
	StepID           int             `json:"step_id"`
	Timestamp        string          `json:"timestamp,omitempty"` // ISO 8601
	Source           string          `json:"source"`
	Message          Content         `json:"message"`
	ModelName        string          `json:"model_name,omitempty"`
	ReasoningEffort  json.RawMessage `json:"reasoning_effort,omitempty"` // string or number
	ReasoningContent string          `json:"reasoning_content,omitempty"`
	ToolCalls        []ToolCall      `json:"tool_calls,omitempty"`
	Observation      *Observation    `json:"observation,omitempty"`
	Metrics          *Metrics        `json:"metrics,omitempty"`
	IsCopiedContext  *bool           `json:"is_copied_context,omitempty"`
	LLMCallCount     *int            `json:"llm_call_count,omitempty"` // 0: nobody was asked
	Extra            map[string]any  `json:"extra,omitempty"`
}

// ToolCall is one use of a tool.
type ToolCall struct {
	ID        string         `json:"tool_call_id"`
	Function  string         `json:"function_name"`
	Arguments map[string]any `json:"arguments"` // never nil
	Extra     map[string]any `json:"extra,omitempty"`
}

// Observation is what came of a step.
type Observation struct {
	Results []Result `json:"results"`
}

// Result is what came of one tool call, or, without SourceCallID, of the step.
type Result struct {
	SourceCallID string         `json:"source_call_id,omitempty"`
	Content      *Content       `json:"content,omitempty"`
	SubagentRefs []SubagentRef  `json:"subagent_trajectory_ref,omitempty"`
	Extra        map[string]any `json:"extra,omitempty"`
}

// SubagentRef names the trajectory of a sub-agent, embedded or in a file.
type SubagentRef struct {
	TrajectoryID   string         `json:"trajectory_id,omitempty"`
	TrajectoryPath string         `json:"trajectory_path,omitempty"`
	SessionID      string         `json:"session_id,omitempty"`
	Extra          map[string]any `json:"extra,omitempty"`
}

// Metrics count one step. Nil is unknown. PromptTokens include CachedTokens.
type Metrics struct {
	PromptTokens       *int64          `json:"prompt_tokens,omitempty"`
	CompletionTokens   *int64          `json:"completion_tokens,omitempty"`
	CachedTokens       *int64          `json:"cached_tokens,omitempty"`
	CostUSD            *float64        `json:"cost_usd,omitempty"`
	PromptTokenIDs     json.RawMessage `json:"prompt_token_ids,omitempty"`
	CompletionTokenIDs json.RawMessage `json:"completion_token_ids,omitempty"`
	Logprobs           json.RawMessage `json:"logprobs,omitempty"`
	Extra              map[string]any  `json:"extra,omitempty"`
}

// FinalMetrics count the whole run with its sub-agents.
type FinalMetrics struct {
	TotalPromptTokens     *int64         `json:"total_prompt_tokens,omitempty"`
	TotalCompletionTokens *int64         `json:"total_completion_tokens,omitempty"`
	TotalCachedTokens     *int64         `json:"total_cached_tokens,omitempty"`
	TotalCostUSD          *float64       `json:"total_cost_usd,omitempty"`
	TotalSteps            *int           `json:"total_steps,omitempty"`
	Extra                 map[string]any `json:"extra,omitempty"`
}
