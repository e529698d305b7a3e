package task

import (
	"testing"
)

// The tasks that we ship are those that users copy from, so they must be spotless.
func TestExamplesAreValid(t *testing.T) {
	t.Parallel()
	tasks, invalid, err := Discover("../../examples/tasks")
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range invalid {
		t.Errorf("%s: %v", i.Dir, i.Err)
	}
	if len(tasks) < 8 {
		t.Errorf("only %d tasks", len(tasks))
	}
	for _, task := range tasks {
		t.Run(task.ShortName, func(t *testing.T) {
			t.Parallel()
			if len(task.Warnings) > 0 {
				t.Errorf("warnings:\n%s", warningTexts(task.Warnings))
			}
			if missing := task.MissingTimeouts(); len(missing) > 0 {
				t.Errorf("timeouts not set: %v", missing)
			}
			if u := task.Unsupported(); len(u) > 0 {
				t.Errorf("cannot be run: %v", u)
			}
			if !task.HostImage() || !task.HasDockerfile() || task.Config.Environment.Workdir != "/app" {
				t.Error("should run with a Dockerfile and with the host image, in /app")
			}
			for _, key := range []string{"difficulty", "category", "tags"} {
				if task.Config.Metadata[key] == nil {
					t.Errorf("metadata has no %s", key)
				}
			}
			if _, err := Digest(task.Dir); err != nil {
				t.Error(err)
			}
		})
	}
}
