package usage

// Report is what one answer said.
type Report struct {
	Usage      Usage
	Model      string // as the provider named it; empty if it did not
	Finished   bool   // the answer came to its end
	Refused    bool   // the provider's model or filter declined to answer
	Fault      *Fault // an error told inside an answer with status 200
	Estimated  bool   // Usage holds guesses: see Estimate
	Malformed  int    // events that were not in the dialect's form
	outputSize int64  // bytes of text, reasoning and tool calls seen
}

// Fault is an error as the provider told it.
type Fault struct {
	Type    string // Anthropic's error.type, OpenAI's error.type, Gemini's error.status
	Code    string // OpenAI's error.code, Gemini's numeric code as text
	Message string
}

// BytesPerToken is the rule of thumb for text of which nobody counted the tokens.
const BytesPerToken = 4

// Estimate fills in the totals that the provider did not tell, from the size of the request's text and of the answer seen so far, and
// marks the report. It leaves what is known.
func (r *Report) Estimate(requestBytes int64) {
	if r.Usage.InputTotal == nil {
		r.Usage.InputTotal = Of(tokens(requestBytes))
		r.Estimated = true
	}
	if seen := tokens(r.outputSize); r.Usage.OutputTotal == nil {
		r.Usage.OutputTotal = Of(seen)
		r.Estimated = true
	} else if !r.Finished && seen > *r.Usage.OutputTotal {
		r.Usage.OutputTotal = Of(seen)
		r.Estimated = true
	}
}

func tokens(bytes int64) int64 { return (bytes + BytesPerToken - 1) / BytesPerToken }

func (r *Report) saw(texts ...string) {
	for _, text := range texts {
		r.outputSize += int64(len(text))
	}
}

// settle drops counts that are all 0 after an answer.
func (r *Report) settle() {
	if r.Usage.allZero() {
		r.Usage = Usage{}
	}
}

// Begun reports whether content has come, or the end. Before that a stream only announces itself.
func (r Report) Begun() bool { return r.outputSize > 0 || r.Finished }
