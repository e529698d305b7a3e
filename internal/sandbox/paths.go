package sandbox

// The folders of every sandbox that any user may write to; package trial and agents name them to the task.
const (
	AgentLogs    = "/logs/agent"
	VerifierLogs = "/logs/verifier"
	Artifacts    = "/logs/artifacts"
)
