package atif

import (
	"slices"
)

// trajectoryShape looks at a whole trajectory, which may be embedded in another of another version.
func trajectoryShape(s *shape, at string, value any) {
	m, is := value.(map[string]any)
	if !is {
		s.fail(at, "a trajectory is an object")
		return
	}
	version, _ := m["schema_version"].(string)
	minor := slices.Index(versions(), version)
	if minor < 0 {
		s.fail(member(at, "schema_version"), "%q is not one of %q", version, versions())
		return
	}
	around := s.minor
	s.minor = minor
	object(map[string]field{
		"schema_version":           {kind: text, required: true},
		"session_id":               {kind: text},
		"trajectory_id":            {kind: text, since: 7},
		"agent":                    {kind: agentShape, required: true},
		"steps":                    {kind: list(stepShape), required: true},
		"notes":                    {kind: text},
		"final_metrics":            {kind: totalsShape},
		"continued_trajectory_ref": {kind: text},
		"extra":                    {kind: anything, since: 1},
		"subagent_trajectories":    {kind: list(trajectoryShape), since: 7},
	})(s, at, value)
	s.minor = around
}

func agentShape(s *shape, at string, value any) {
	object(map[string]field{
		"name":             {kind: text, required: true},
		"version":          {kind: text, required: true},
		"model_name":       {kind: text},
		"tool_definitions": {kind: list(anything), since: 5},
		"extra":            {kind: anything},
	})(s, at, value)
}

func stepShape(s *shape, at string, value any) {
	object(map[string]field{
		"step_id":           {kind: integer, required: true},
		"timestamp":         {kind: text},
		"source":            {kind: text, required: true},
		"message":           {kind: content, required: true},
		"model_name":        {kind: text},
		"reasoning_effort":  {kind: textOrNumber},
		"reasoning_content": {kind: text},
		"tool_calls":        {kind: list(callShape)},
		"observation":       {kind: object(map[string]field{"results": {kind: list(resultShape), required: true}})},
		"metrics":           {kind: metricsShape},
		"is_copied_context": {kind: boolean, since: 5},
		"llm_call_count":    {kind: integer, since: 7},
		"extra":             {kind: anything},
	})(s, at, value)
	m, is := value.(map[string]any)
	if is && m["source"] == SourceSystem && m["observation"] != nil && s.minor < 2 {
		s.fail(member(at, "observation"), "of a system step needs at least ATIF-v1.2")
	}
}

func callShape(s *shape, at string, value any) {
	object(map[string]field{
		"tool_call_id":  {kind: text, required: true},
		"function_name": {kind: text, required: true},
		"arguments":     {kind: anything, required: true},
		"extra":         {kind: anything, since: 7},
	})(s, at, value)
}

func resultShape(s *shape, at string, value any) {
	object(map[string]field{
		"source_call_id": {kind: text},
		"content":        {kind: content},
		"subagent_trajectory_ref": {kind: list(object(map[string]field{
			"trajectory_id":   {kind: text, since: 7},
			"trajectory_path": {kind: text},
			"session_id":      {kind: text},
			"extra":           {kind: anything},
		}))},
		"extra": {kind: anything, since: 7},
	})(s, at, value)
}

func metricsShape(s *shape, at string, value any) {
	object(map[string]field{
		"prompt_tokens":        {kind: integer},
		"completion_tokens":    {kind: integer},
		"cached_tokens":        {kind: integer},
		"cost_usd":             {kind: number},
		"prompt_token_ids":     {kind: list(integer), since: 4},
		"completion_token_ids": {kind: list(integer), since: 3},
		"logprobs":             {kind: list(number)},
		"extra":                {kind: anything},
	})(s, at, value)
}

func totalsShape(s *shape, at string, value any) {
	object(map[string]field{
		"total_prompt_tokens":     {kind: integer},
		"total_completion_tokens": {kind: integer},
		"total_cached_tokens":     {kind: integer},
		"total_cost_usd":          {kind: number},
		"total_steps":             {kind: integer},
		"extra":                   {kind: anything},
	})(s, at, value)
}
