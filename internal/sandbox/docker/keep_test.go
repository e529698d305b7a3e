package docker_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/docker"
)

// newKeeper is a provider that remembers images in a folder of the test's.
func newKeeper(t *testing.T) (p *docker.Provider, dir string) {
	t.Helper()
	newProvider(t) // or skip
	dir = t.TempDir()
	p, err := docker.New(docker.Config{Host: os.Getenv("ODDISH_TEST_DOCKER_HOST"), Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return p, dir
}

// images gives the sandbox.ImageInfo that has a name, and the size of all.
func images(t *testing.T, p *docker.Provider, name string) (found *sandbox.ImageInfo, size int64) {
	t.Helper()
	list, err := p.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		size += i.Size
		if slices.Contains(i.Names, name) {
			found = &i
		}
	}
	return found, size
}

// unusedForLong makes every image that was used the one that is unused for longest.
func unusedForLong(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("remembered: %v, %v", files, err)
	}
	for _, f := range files {
		if err := os.Chtimes(f, time.Unix(1000, 0), time.Unix(1000, 0)); err != nil {
			t.Fatal(err)
		}
	}
}

// pruneOne removes one image, the longest unused.
func pruneOne(t *testing.T, p *docker.Provider) []sandbox.ImageInfo {
	t.Helper()
	_, size := images(t, p, "")
	removed, err := p.PruneImages(t.Context(), size-1, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return removed
}

// Other tests' images are in the engine, too, and must stay: so what is pruned is made the longest unused.
func TestABuiltImageIsPrunedOnceItIsUnused(t *testing.T) {
	p, dir := newKeeper(t)
	image := buildContext(t, "prune-test-1", "FROM "+baseImage+"\nRUN head -c 16 /dev/urandom | od >/made\n")
	const tag = "oddish/task:prune-test-1"
	image.ForceBuild = false
	sb := start(t, p, sandbox.Spec{Image: image})
	if found, _ := images(t, p, tag); found == nil || time.Since(found.Used) > time.Minute {
		t.Fatalf("after the build there is %+v", found)
	}
	unusedForLong(t, dir)
	for _, r := range pruneOne(t, p) {
		if slices.Contains(r.Names, tag) {
			t.Fatal("it was removed while a sandbox had it")
		}
	}
	if err := sb.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if removed, err := p.PruneImages(t.Context(), 0, time.Unix(500, 0)); err != nil || len(removed) > 0 {
		t.Fatalf("used since: removed %v, %v", removed, err)
	}
	if removed := pruneOne(t, p); len(removed) != 1 || !slices.Contains(removed[0].Names, tag) {
		t.Fatalf("removed %+v", removed)
	}
	if found, _ := images(t, p, tag); found != nil {
		t.Errorf("there still is %+v", found)
	}
	start(t, p, sandbox.Spec{Image: image}) // builds it again
}

func TestAnImageThatWasThereBeforeIsNotPruned(t *testing.T) {
	p, dir := newKeeper(t)
	notPodman(t, "it wants TLS of registries on this machine, too")
	host := privateRegistry(t)
	ours, theirs := host+"/ours:1", host+"/theirs:1"
	push(t, ours, "amd64")
	push(t, theirs, "amd64")
	docker := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "docker", args...)
		cmd.Env = append(os.Environ(), "DOCKER_HOST="+os.Getenv("ODDISH_TEST_DOCKER_HOST"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("docker %v: %s", args, out)
		}
	}
	docker("pull", theirs)
	defer docker("rmi", theirs)
	for _, name := range []string{ours, theirs} {
		if _, err := p.Start(t.Context(), sandbox.Spec{Name: "pulls", Image: sandbox.Image{Reference: name}}); err == nil || !strings.Contains(err.Error(), `"sh"`) {
			t.Fatalf("start of what has no shell: %v", err)
		}
	}
	if found, _ := images(t, p, theirs); found != nil {
		t.Errorf("taken for ours: %+v", found)
	}
	if found, _ := images(t, p, ours); found == nil {
		t.Error("what was pulled is not listed")
	}
	unusedForLong(t, dir)
	if removed := pruneOne(t, p); len(removed) != 1 || !slices.Equal(removed[0].Names, []string{ours}) {
		t.Errorf("removed %+v", removed)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*", "*.json")); len(files) > 0 {
		t.Errorf("remembered after the removal: %v", files)
	}

	// What somebody pulls again under a name of ours is theirs.
	if _, err := p.Start(t.Context(), sandbox.Spec{Name: "pulls", Image: sandbox.Image{Reference: ours}}); err == nil {
		t.Fatal("it started without a shell")
	}
	push(t, ours, "amd64")
	docker("pull", ours)
	defer docker("rmi", ours)
	unusedForLong(t, dir)
	pruneOne(t, p)
	docker("image", "inspect", ours)
}
