package sandbox

// The folders that every sandbox has; package trial and agents name them to the task.
const (
	AgentLogs    = "/logs/agent"
	VerifierLogs = "/logs/verifier"
	Artifacts    = "/logs/artifacts"
)

// SetupScript is what a provider runs as root, in any working directory, before
// Start returns: it makes the folders that the contract promises, RunDir, and the
// working directory (not made if empty). It needs sh and coreutils or busybox in the image.
func SetupScript(workdir string) string {
	logs := "/logs " + AgentLogs + " " + VerifierLogs + " " + Artifacts
	script := "mkdir -p " + logs + " " + RunDir + " && chmod 0777 " + logs + " && chmod 1777 " + RunDir
	if workdir != "" {
		script += " && mkdir -p " + Quote(workdir)
	}
	return script
}
