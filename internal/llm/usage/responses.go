package usage

import (
	"encoding/json"
	"errors"
)

type responsesUsage struct {
	Input  count `json:"input_tokens"`
	Output count `json:"output_tokens"`
	In     *struct {
		Cached  count `json:"cached_tokens"`
		Written count `json:"cache_write_tokens"`
	} `json:"input_tokens_details"`
	Out *struct {
		Reasoning count `json:"reasoning_tokens"`
	} `json:"output_tokens_details"`
}

func (u *responsesUsage) normal() Usage {
	n := Usage{InputTotal: u.Input.n, OutputTotal: u.Output.n}
	if u.In != nil {
		n.CacheRead, n.CacheWrite = u.In.Cached.n, u.In.Written.n
	}
	if u.Out != nil {
		n.Reasoning = u.Out.Reasoning.n
	}
	return n
}

type response struct {
	Object     string          `json:"object"`
	Model      string          `json:"model"`
	Status     string          `json:"status"`
	Usage      *responsesUsage `json:"usage"`
	Error      *fault          `json:"error"`
	Output     json.RawMessage `json:"output"`
	Incomplete *struct {
		Reason string `json:"reason"`
	} `json:"incomplete_details"`
}

func (a *response) tell(r *Report) {
	if a.Model != "" {
		r.Model = a.Model
	}
	if a.Usage != nil {
		r.Usage = a.Usage.normal()
	}
	r.Fault = a.Error.tell()
	r.Refused = a.Incomplete != nil && a.Incomplete.Reason == "content_filter"
}

func responsesBody(body []byte, r *Report) error {
	var a response
	if err := json.Unmarshal(body, &a); err != nil {
		return err
	}
	if a.Error == nil && a.Output == nil {
		return errors.New("it has no output")
	}
	a.tell(r)
	r.Finished = r.Fault == nil
	r.outputSize = int64(len(a.Output))
	return nil
}

func responsesEvent(data []byte, r *Report) error {
	var e struct {
		Type     string          `json:"type"`
		Delta    json.RawMessage `json:"delta"`
		Response *response       `json:"response"`
		Error    *fault          `json:"error"`
		Code     text            `json:"code"`
		Message  string          `json:"message"`
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return err
	}
	r.outputSize += int64(len(e.Delta))
	switch e.Type {
	case "response.completed", "response.incomplete", "response.failed", "response.done":
		if e.Response == nil {
			return errors.New("it has no response")
		}
		e.Response.tell(r)
		r.Finished = e.Type != "response.failed"
		if !r.Finished && r.Fault == nil {
			r.Fault = &Fault{Type: "server_error", Message: "the response failed"}
		}
	case "response.created":
		if e.Response != nil {
			r.Model = e.Response.Model
		}
	case "error":
		if r.Fault = e.Error.tell(); r.Fault == nil {
			r.Fault = &Fault{Code: string(e.Code), Message: e.Message}
		}
	}
	return nil
}
