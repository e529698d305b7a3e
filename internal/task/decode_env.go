package task

import (
	"math"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// environment reads [environment] or [verifier.environment].
func (d *decoder) environment(t *table) Environment {
	defer t.done()
	e := Environment{
		BuildTimeoutSec: t.seconds("build_timeout_sec"),
		DockerImage:     t.str("docker_image"),
		OS:              t.enum("os", OSLinux, OSWindows),
		CPUs:            t.integer("cpus", 1),
		MemoryMB:        d.size(t, "memory_mb", "memory"),
		StorageMB:       d.size(t, "storage_mb", "storage"),
		GPUs:            t.integer("gpus", 0),
		GPUTypes:        t.strs("gpu_types"),
		TPU:             d.tpu(t.sub("tpu")),
		MCPServers:      d.mcpServers(t),
		Env:             t.env("env"),
		SkillsDir:       t.str("skills_dir"),
		Healthcheck:     d.healthcheck(t.sub("healthcheck")),
		Workdir:         t.str("workdir"),
		Network:         d.baseline(t),
		Oddish:          d.oddish(t.sub("oddish")),
	}
	if e.OS == "" {
		e.OS = OSLinux
	}
	if strings.ContainsAny(e.DockerImage, " \t\r\n") {
		d.fail(t.key("docker_image"), "must be the name of an image, not %q", e.DockerImage)
	}
	if e.Workdir != "" && e.OS == OSLinux && !path.IsAbs(e.Workdir) {
		d.fail(t.key("workdir"), "must be an absolute path, not %q", e.Workdir)
	}
	return e
}

// size reads a size in MiB, also from the outdated key with a suffix.
func (d *decoder) size(t *table, key, old string) *int {
	mb, text := t.integer(key, 1), t.str(old)
	if !t.has(old) {
		return mb
	}
	if t.has(key) {
		d.fail(t.key(old), "and %s are both given: keep %s", key, key)
		return mb
	}
	if _, ok := t.values[old].(string); !ok {
		return nil
	}
	n, ok := parseSize(text)
	if !ok {
		d.fail(t.key(old), `must be a size such as "512M" or "2G", not %q`, text)
		return nil
	}
	d.warn(t.key(old), "outdated; write %s = %d", key, n)
	return &n
}

var sizeForm = regexp.MustCompile(`^(\d+(?:\.\d+)?)\s*([GMK])$`)

// parseSize reads "2G", "512M" or "1024K" as MiB.
func parseSize(s string) (int, bool) {
	m := sizeForm.FindStringSubmatch(strings.ToUpper(strings.TrimSpace(s)))
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, false
	}
	n *= map[string]float64{"G": 1024, "M": 1, "K": 1. / 1024}[m[2]]
	if n = math.Trunc(n); n < 1 || n > 1<<40 {
		return 0, false
	}
	return int(n), true
}

var topologyForm = regexp.MustCompile(`^[1-9][0-9]*(x[1-9][0-9]*)*$`)

func (d *decoder) tpu(t *table) *TPU {
	if t == nil {
		return nil
	}
	defer t.done()
	u := &TPU{Type: t.required("type"), Topology: t.required("topology")}
	if u.Topology != "" && !topologyForm.MatchString(u.Topology) {
		d.fail(t.key("topology"), "must look like 2x4, not %q", u.Topology)
	}
	return u
}

func (d *decoder) mcpServers(t *table) []MCPServer {
	var out []MCPServer
	for _, s := range t.subs("mcp_servers") {
		out = append(out, d.mcpServer(s))
	}
	return out
}

func (d *decoder) mcpServer(t *table) MCPServer {
	defer t.done()
	s := MCPServer{
		Name:      t.required("name"),
		Transport: t.enum("transport", TransportStdio, TransportSSE, TransportHTTP, "http"),
		URL:       t.str("url"),
		Command:   t.str("command"),
		Args:      t.strs("args"),
	}
	switch s.Transport {
	case "":
		s.Transport = TransportSSE
	case "http":
		s.Transport = TransportHTTP
	}
	if s.Transport == TransportStdio && s.Command == "" {
		d.fail(t.path, "needs a command, since its transport is %q", s.Transport)
	}
	if s.Transport != TransportStdio && s.URL == "" {
		d.fail(t.path, "needs a url, since its transport is %q", s.Transport)
	}
	return s
}

func (d *decoder) oddish(t *table) Oddish {
	if t == nil {
		return Oddish{}
	}
	defer t.done()
	o := Oddish{Image: t.enum("image", ImageHost)}
	fake := t.sub("fake")
	if fake == nil {
		return o
	}
	o.Fake = make(map[string]string, len(fake.values))
	for k, v := range fake.values {
		switch v := v.(type) {
		case string:
			o.Fake[k] = v
		case bool:
			o.Fake[k] = strconv.FormatBool(v)
		case int64:
			o.Fake[k] = strconv.FormatInt(v, 10)
		case float64:
			o.Fake[k] = strconv.FormatFloat(v, 'g', -1, 64)
		default:
			d.fail(fake.key(k), "must be a string, a number, true or false, not %s", describe(v))
		}
	}
	return o
}
