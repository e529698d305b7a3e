package compose

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"oddish/internal/composefile"
	"oddish/internal/sandbox"
)

// VetFiles refuses compose files that would make the plugin read files of this machine outside dir into a service: what it
// reads cannot be told any more from what it has merged.
func VetFiles(dir string, names []string) error {
	v := &vet{dir: dir}
	seen := map[string]bool{}
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		if seen[name] {
			continue
		}
		seen[name] = true
		f, err := composefile.Load(name)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", sandbox.ErrBuild, filepath.Base(name), err)
		}
		if f.Include {
			v.refuse(true, "include (write the services into the file itself)")
		}
		for _, r := range f.Reads {
			path, why := inside(dir, filepath.Dir(name), r.Path)
			v.reads(r.Key, r.Path, why)
			if why == "" && r.Compose {
				names = append(names, path)
			}
		}
	}
	return v.err()
}

// absent is why a path is none of the task's that names nothing.
const absent = "does not exist"

// inside gives the whole path of one that is written in a file of the folder base, or says why it is not one of dir's.
func inside(dir, base, path string) (whole, why string) {
	if strings.Contains(path, "$") {
		return "", "has a variable in its name"
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(base, path)
	}
	const outside = "is not in the folder of the compose file"
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, os.ErrNotExist) {
		if rel, err := filepath.Rel(dir, path); err != nil || !filepath.IsLocal(rel) {
			return "", outside
		}
		return "", absent
	} else if err != nil {
		return "", "cannot be read"
	}
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", "cannot be read"
	}
	if rel, err := filepath.Rel(root, real); err != nil || !filepath.IsLocal(rel) {
		return "", outside
	}
	return path, ""
}

// serviceKeys are the keys of a service that reach nothing outside, or whose values are looked at. All others are refused, so that
// what newer plugins bring is too.
var serviceKeys = []string{
	"attach", "blkio_config", "build", "cap_add", "cap_drop", "cgroup", "command", "configs", "container_name", "cpu_count", "cpu_percent",
	"cpu_period", "cpu_quota", "cpu_shares", "cpus", "cpuset", "depends_on", "deploy", "develop", "dns", "dns_opt", "dns_search", "domainname",
	"entrypoint", "environment", "expose", "extra_hosts", "group_add", "healthcheck", "hostname", "image", "init", "ipc", "labels",
	"links", "logging", "mac_address", "mem_limit", "mem_reservation", "mem_swappiness", "memswap_limit", "network_mode", "networks",
	"pid", "pids_limit", "platform", "ports", "post_start", "pre_stop", "profiles", "pull_policy", "read_only", "restart", "scale", "secrets",
	"security_opt", "shm_size", "stdin_open", "stop_grace_period", "stop_signal", "sysctls", "tmpfs", "tty", "ulimits", "user", "userns_mode", "uts",
	"volumes", "volumes_from", "working_dir",
}

// capabilities are what docker gives a container by itself, and tracing, which reaches only processes that it sees.
var capabilities = []string{
	"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID",
	"SYS_CHROOT", "SYS_NICE", "SYS_PTRACE", "IPC_LOCK",
}

// vet collects what is wrong with a project.
type vet struct {
	dir     string
	refused []error
	missing []error // files that it names and the task does not have
}

// err makes one error of all that is refused, else of all that is missing: that is a mistake of the task's, which no operator can allow.
func (v *vet) err() error {
	switch {
	case len(v.refused) > 0:
		return fmt.Errorf("%w: the task's compose file uses what could reach beyond its sandbox:\n%w\n(the operator of a worker that runs only tasks whose authors are trusted can allow it there with ODDISH_COMPOSE_UNSAFE=true)",
			sandbox.ErrUnsupported, sorted(v.refused))
	case len(v.missing) > 0:
		return fmt.Errorf("%w: the task's compose file names what is not there (its paths are relative to environment/):\n%w", sandbox.ErrBuild, sorted(v.missing))
	}
	return nil
}

func sorted(errs []error) error {
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// Vet refuses a merged project that could reach beyond its sandbox: host namespaces, devices, privileges, files outside dir.
func (p *Project) Vet(dir string) error {
	v := &vet{dir: dir}
	for name, s := range object(p.doc["services"]) {
		v.service("services."+name, object(s))
	}
	for name, n := range object(p.doc["networks"]) {
		v.network("networks."+name, object(n))
	}
	for name, vol := range object(p.doc["volumes"]) {
		v.volume("volumes."+name, object(vol))
	}
	for _, kind := range []string{"configs", "secrets"} {
		for name, c := range object(p.doc[kind]) {
			at, c := kind+"."+name, object(c)
			v.refuse(truth(c["external"]), "%s.external", at)
			if file, ok := c["file"].(string); ok {
				v.file(at+".file", file)
			}
		}
	}
	v.refuse(p.doc["models"] != nil, "models")
	return v.err()
}

func (v *vet) refuse(bad bool, format string, args ...any) {
	if bad {
		v.refused = append(v.refused, fmt.Errorf(format, args...))
	}
}

// file refuses one that is not in the folder.
func (v *vet) file(at, path string) {
	_, why := inside(v.dir, v.dir, path)
	if rel, err := filepath.Rel(v.dir, path); err == nil && filepath.IsLocal(rel) {
		path = rel // as the author knows it
	}
	v.reads(at, path, why)
}

// reads notes a path of which inside said why it is none of the task's.
func (v *vet) reads(at, path, why string) {
	switch why {
	case "":
	case absent:
		v.missing = append(v.missing, fmt.Errorf("%s: %s", at, path))
	default:
		v.refuse(true, "%s %s, which %s", at, path, why)
	}
}

func (v *vet) service(at string, s map[string]any) {
	for key, value := range s {
		if value != nil && value != false && !strings.HasPrefix(key, "x-") && !slices.Contains(serviceKeys, key) {
			v.refuse(true, "%s.%s", at, key)
		}
	}
	for _, key := range []string{"ipc", "pid", "uts", "userns_mode", "cgroup", "network_mode"} {
		mode, _ := s[key].(string)
		v.refuse(mode != "" && !slices.Contains([]string{"none", "private", "shareable"}, mode) && !strings.HasPrefix(mode, "service:"), "%s.%s: %s", at, key, mode)
	}
	for _, c := range list(s["cap_add"]) {
		name, _ := c.(string)
		v.refuse(!slices.Contains(capabilities, strings.TrimPrefix(strings.ToUpper(name), "CAP_")), "%s.cap_add: %s", at, name)
	}
	for _, o := range list(s["security_opt"]) {
		v.refuse(!strings.HasPrefix(fmt.Sprint(o), "no-new-privileges"), "%s.security_opt: %v", at, o)
	}
	for _, from := range list(s["volumes_from"]) {
		v.refuse(strings.HasPrefix(fmt.Sprint(from), "container:"), "%s.volumes_from: %v", at, from)
	}
	for _, key := range []string{"post_start", "pre_stop"} {
		for _, hook := range list(s[key]) {
			v.refuse(truth(object(hook)["privileged"]), "%s.%s.privileged", at, key)
		}
	}
	v.mounts(at, s)
	v.deploy(at+".deploy", object(s["deploy"]))
	v.build(at+".build", object(s["build"]))
}

func (v *vet) mounts(at string, s map[string]any) {
	for _, m := range list(s["volumes"]) {
		m := object(m)
		source, _ := m["source"].(string)
		switch m["type"] {
		case "volume", "tmpfs", "image":
		case "bind":
			v.file(at+".volumes", source)
		default:
			v.refuse(true, "%s.volumes of type %v", at, m["type"])
		}
	}
}

func (v *vet) deploy(at string, d map[string]any) {
	reservations := object(object(d["resources"])["reservations"])
	v.refuse(len(list(reservations["devices"])) > 0, "%s.resources.reservations.devices", at)
	v.refuse(len(list(reservations["generic_resources"])) > 0, "%s.resources.reservations.generic_resources", at)
}

func (v *vet) build(at string, b map[string]any) {
	for _, key := range []string{"ssh", "privileged", "entitlements", "cache_to", "provenance", "sbom", "isolation"} {
		v.refuse(b[key] != nil && b[key] != false, "%s.%s", at, key)
	}
	v.refuse(b["network"] == "host", "%s.network: host", at)
	context, ok := b["context"].(string)
	if ok && !remote(context) {
		v.file(at+".context", context)
		if name, ok := b["dockerfile"].(string); ok {
			if !filepath.IsAbs(name) {
				name = filepath.Join(context, name)
			}
			v.file(at+".dockerfile", name)
		}
	}
	for name, c := range object(b["additional_contexts"]) {
		context, _ := c.(string)
		if !remote(context) && !strings.HasPrefix(context, "docker-image://") && !strings.HasPrefix(context, "service:") {
			v.file(at+".additional_contexts."+name, context)
		}
	}
}

// remote tells a build context that is fetched, by the engine.
func remote(context string) bool {
	return strings.HasPrefix(context, "https://") || strings.HasPrefix(context, "http://") || strings.HasPrefix(context, "git@")
}

func (v *vet) network(at string, n map[string]any) {
	v.refuse(truth(n["external"]), "%s.external", at)
	driver, _ := n["driver"].(string)
	v.refuse(driver != "" && driver != "bridge", "%s.driver: %s", at, driver)
	v.refuse(len(object(n["driver_opts"])) > 0, "%s.driver_opts", at)
}

func (v *vet) volume(at string, vol map[string]any) {
	v.refuse(truth(vol["external"]), "%s.external", at)
	driver, _ := vol["driver"].(string)
	v.refuse(driver != "" && driver != "local", "%s.driver: %s", at, driver)
	v.refuse(len(object(vol["driver_opts"])) > 0, "%s.driver_opts", at)
}

func truth(v any) bool { b, _ := v.(bool); return b }
