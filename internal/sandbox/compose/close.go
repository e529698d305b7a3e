package compose

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Mount is a folder or file of this machine that the main service is shown, read-only.
type Mount struct{ Source, Target string }

// Closing says how a project is made one trial's own.
type Closing struct {
	Base
	Project string
	Labels  map[string]string // of every container, network and volume
	Mounts  []Mount
	Pids    int64 // bound for services that have none
	// NameServer is asked for what is no service's name; empty: those of the engine.
	NameServer string
	// DigestLabel is the label of built images with the digest that they are shared under.
	DigestLabel string
	// Subnet gives an address range for a network that has none in the task's file.
	Subnet func() string
	// ImageTag gives the name of a built image.
	ImageTag func(digest string) string
}

// Notes are what was changed of a project that its author would like to know.
type Notes []string

// Close makes a merged project one trial's own: names are private to it, no port is published, its networks lead nowhere, folders of the task are
// read-only, images are shared under the digest of what they are made of.
func (p *Project) Close(c Closing) (Notes, error) {
	var notes Notes
	p.doc["name"] = c.Project
	for _, name := range slices.Sorted(maps.Keys(object(p.doc["services"]))) {
		n, err := c.service(name, p.service(name))
		if err != nil {
			return nil, err
		}
		notes = append(notes, n...)
	}
	main := p.service(MainService)
	for _, m := range c.Mounts {
		main["volumes"] = append(list(main["volumes"]), map[string]any{
			"type": "bind", "source": escaped(m.Source), "target": m.Target, "read_only": true, "bind": map[string]any{"create_host_path": false},
		})
	}
	p.volumes(c)
	p.networks(c)
	return notes, nil
}

func (c *Closing) service(name string, s map[string]any) (Notes, error) {
	var notes Notes
	labels := object(s["labels"])
	for k, v := range c.Labels {
		labels[k] = escaped(v)
	}
	s["labels"] = labels
	// What a service says is kept within bounds, and read at the end.
	s["logging"] = map[string]any{"driver": "local", "options": map[string]any{"max-size": "10m", "max-file": "2"}}
	if s["pids_limit"] == nil && object(object(object(s["deploy"])["resources"])["limits"])["pids"] == nil {
		s["pids_limit"] = c.Pids
	}
	if len(list(s["ports"])) > 0 {
		notes = append(notes, fmt.Sprintf("ports of the service %s are not published on this machine: services reach each other without", name))
	}
	delete(s, "ports")
	if c.NameServer != "" {
		s["dns"] = []any{c.NameServer}
	}
	delete(s, "develop")
	if alias, ok := s["container_name"].(string); ok { // would be one for all trials
		delete(s, "container_name")
		addAlias(s, alias)
	}
	for _, m := range list(s["volumes"]) {
		m := object(m)
		if m["type"] != "bind" || m["read_only"] == true {
			continue
		}
		m["read_only"] = true
		notes = append(notes, fmt.Sprintf("%v is read-only in the service %s: it is a folder of the task, which other trials see too", m["target"], name))
	}
	return notes, c.image(s)
}

// Claim replaces what the project has from us and not from its files: the build of Spec.Image by its name, and mounts of what stands for
// Harbor's log folders of the host by mounts of volumes.
func (c *Closing) Claim(p *Project) {
	for name := range object(p.doc["services"]) {
		if s := p.service(name); c.ownBuild(s) {
			delete(s, "build")
		}
		for _, m := range list(p.service(name)["volumes"]) {
			logVolume(object(m))
		}
	}
}

func logVolume(m map[string]any) {
	for _, l := range logs {
		if m["source"] == hostLogs(l.volume) {
			m["type"], m["source"] = "volume", l.volume
			delete(m, "bind")
		}
	}
}

// addAlias lets a service be found by one more name in all its networks.
func addAlias(s map[string]any, alias string) {
	if s["network_mode"] != nil {
		return
	}
	networks := object(s["networks"])
	if len(networks) == 0 {
		networks["default"] = nil
	}
	for name, n := range networks {
		n := object(n)
		n["aliases"] = append(list(n["aliases"]), alias)
		networks[name] = n
	}
	s["networks"] = networks
}

// image names what is built by what it is made of. What is not built has been pulled.
func (c *Closing) image(s map[string]any) error {
	// Images are made ready before, so that none is pulled or built when services start.
	s["pull_policy"] = "never"
	build, _ := s["build"].(map[string]any)
	if build == nil {
		return nil
	}
	delete(build, "tags")
	digest, err := buildDigest(c.Spec.Compose.Dir, c.Spec.Compose.Digest, build)
	if err != nil {
		return err
	}
	labels := object(build["labels"])
	labels[c.DigestLabel] = digest
	build["labels"] = labels
	s["image"] = c.ImageTag(digest)
	return nil
}

// ownBuild reports whether a service is the build of Spec.Image and nothing else, which is made as that of any other task.
func (c *Closing) ownBuild(s map[string]any) bool {
	build := object(s["build"])
	file := build["dockerfile"]
	return len(c.Spec.Image.Context) > 0 && build["context"] == c.Spec.Image.Context && s["image"] == c.Image &&
		(file == nil || file == "Dockerfile") && len(build) <= 2
}

// volumes gives the volumes of a project names and labels of its own.
func (p *Project) volumes(c Closing) {
	volumes := object(p.doc["volumes"])
	for _, l := range logs {
		if p.mounts(l.volume) {
			volumes[l.volume] = map[string]any{}
		}
	}
	p.doc["volumes"] = c.own(volumes)
}

func (p *Project) mounts(volume string) bool {
	for name := range object(p.doc["services"]) {
		for _, m := range list(p.service(name)["volumes"]) {
			if object(m)["source"] == volume {
				return true
			}
		}
	}
	return false
}

// networks gives the networks of a project names of its own. They join its services and nothing else: not even this machine has an address
// in them. What the services may reach beyond comes from a network of the engine's.
func (p *Project) networks(c Closing) {
	networks := object(p.doc["networks"])
	for name := range object(p.doc["services"]) {
		s := p.service(name)
		if s["network_mode"] == nil && len(object(s["networks"])) == 0 {
			s["networks"] = map[string]any{"default": nil}
			networks["default"] = object(networks["default"])
		}
	}
	p.doc["networks"] = c.own(networks)
	for _, n := range networks {
		n := n.(map[string]any)
		if truth(n["external"]) {
			continue
		}
		n["internal"] = true
		if len(list(object(n["ipam"])["config"])) == 0 {
			n["ipam"] = map[string]any{"config": []any{map[string]any{"subnet": c.Subnet()}}}
		}
		n["driver"] = "bridge"
		n["driver_opts"] = map[string]any{"com.docker.network.bridge.inhibit_ipv4": "true"}
	}
}

// own makes names and labels of networks or volumes private.
func (c *Closing) own(all map[string]any) map[string]any {
	for name, v := range all {
		v := object(v)
		if truth(v["external"]) { // which only the operator allows
			continue
		}
		v["name"] = c.Project + "_" + name
		labels := object(v["labels"])
		for k, l := range c.Labels {
			labels[k] = escaped(l)
		}
		v["labels"] = labels
		all[name] = v
	}
	return all
}

// escaped lets a text pass the plugin's replacement of variables unharmed.
func escaped(text string) string { return strings.ReplaceAll(text, "$", "$$") }
