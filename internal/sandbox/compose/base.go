package compose

import (
	"encoding/json"
	"fmt"
	"path"

	"oddish/internal/sandbox"
)

// Base is what is said of the main service before the task's files say more.
type Base struct {
	Spec    sandbox.Spec
	Command []string // that keeps it alive
	Image   string   // name of the image of Spec.Image
	Shm     int64    // bytes of /dev/shm
}

// logs are the folders that compose files of Harbor's know by variables.
var logs = []struct{ variable, folder, volume string }{
	{"VERIFIER_LOGS_PATH", "/logs/verifier", "oddish-verifier-logs"},
	{"AGENT_LOGS_PATH", "/logs/agent", "oddish-agent-logs"},
	{"ARTIFACTS_PATH", "/logs/artifacts", "oddish-artifacts"},
}

// Variables are what compose files may name. Those of the infrastructure come before those of the task.
func (b *Base) Variables() map[string]string {
	env := map[string]string{}
	for name, value := range b.Spec.Compose.Env {
		env[name] = value
	}
	env["CONTEXT_DIR"] = b.Spec.Compose.Dir
	env["MAIN_IMAGE_NAME"] = b.Image
	env["PREBUILT_IMAGE_NAME"] = b.Spec.Image.Reference
	if n := b.Spec.Resources.CPUs; n > 0 {
		env["CPUS"] = fmt.Sprintf("%g", n)
	}
	if n := b.Spec.Resources.MemoryBytes; n > 0 {
		env["MEMORY"] = fmt.Sprintf("%dM", n>>20)
	}
	for _, l := range logs {
		env["HOST_"+l.variable] = hostLogs(l.volume)
		env["ENV_"+l.variable] = l.folder
	}
	return env
}

// hostFolder is where the folders of the host would be that Harbor has for the logs. There is none.
const hostFolder = "/oddish/host"

// hostLogs stands for a folder of the host's. Claim makes a volume of the project of it.
func hostLogs(volume string) string { return path.Join(hostFolder, volume) }

// Before is the compose file that comes before the task's.
func (b *Base) Before() ([]byte, error) {
	var command []string
	for _, word := range b.Command {
		command = append(command, escaped(word))
	}
	main := map[string]any{"command": command}
	switch image := b.Spec.Image; {
	case image.Reference != "" && !image.ForceBuild || image.Context == "" && image.Reference != "":
		main["image"] = image.Reference
	case image.Context != "":
		main["build"] = map[string]any{"context": escaped(image.Context)}
		main["image"] = b.Image
	}
	if b.Shm > 0 {
		main["shm_size"] = b.Shm
	}
	if n := b.Spec.Resources.CPUs; n > 0 {
		main["cpus"] = n
	}
	if n := b.Spec.Resources.MemoryBytes; n > 0 {
		main["mem_limit"], main["memswap_limit"] = n, n
	}
	if n := b.Spec.Resources.StorageBytes; n > 0 { // as for a single container: of each file
		main["ulimits"] = map[string]any{"fsize": n}
	}
	return services(main)
}

// After is the compose file that comes after the task's: the environment that the task and the run set.
func (b *Base) After() ([]byte, error) {
	env := map[string]any{}
	for name, value := range b.Spec.Env {
		env[name] = escaped(value)
	}
	main := map[string]any{"environment": env}
	if b.Spec.Workdir != "" {
		main["working_dir"] = escaped(b.Spec.Workdir)
	}
	return services(main)
}

func services(main map[string]any) ([]byte, error) {
	return json.MarshalIndent(map[string]any{"services": map[string]any{MainService: main}}, "", "  ")
}
