package task

import (
	"fmt"
	"net/netip"
	"strings"
)

// baseline reads the network policy of an environment, which always has one.
func (d *decoder) baseline(t *table) NetworkPolicy {
	p := d.network(t)
	allow := t.boolean("allow_internet")
	if allow != nil {
		d.warn(t.key("allow_internet"), "outdated; write network_mode = %q", map[bool]string{true: NetworkPublic, false: NetworkNone}[*allow])
		if !*allow && !t.has("network_mode") && !t.has("allowed_hosts") {
			p.Mode = NetworkNone
		}
	}
	if p.Mode == "" {
		p.Mode = NetworkPublic
	}
	return p
}

// network reads network_mode and allowed_hosts of a table; neither gives the zero value.
func (d *decoder) network(t *table) NetworkPolicy {
	p := NetworkPolicy{Mode: t.enum("network_mode", NetworkPublic, NetworkNone, NetworkAllowlist)}
	for i, h := range t.strs("allowed_hosts") {
		host, err := NormalizeHost(h)
		if err != nil {
			d.fail(index(t.key("allowed_hosts"), i), "%v", err)
			continue
		}
		p.AllowedHosts = append(p.AllowedHosts, host)
	}
	if t.has("allowed_hosts") && p.Mode != NetworkAllowlist && t.values["network_mode"] != NetworkAllowlist {
		d.fail(t.key("allowed_hosts"), "needs network_mode = %q beside it", NetworkAllowlist)
	}
	return p
}

// NormalizeHost gives the normal form of an entry of allowed_hosts: an exact host name, "*.suffix",
// an IPv4 or IPv6 address, or a CIDR block without host bits. Names are lower-cased and lose a
// trailing dot. URLs, ports, paths, brackets, zone ids and inner wildcards are errors.
func NormalizeHost(entry string) (string, error) {
	s := strings.ToLower(strings.TrimSpace(entry))
	bad := func(why string) (string, error) {
		return "", fmt.Errorf("%q is no host, *.suffix, IP address or CIDR block: %s", entry, why)
	}
	switch {
	case s == "":
		return bad("it is empty")
	case strings.Contains(s, "://"):
		return bad("write the host without a scheme")
	case strings.ContainsAny(s, "[]"):
		return bad("write the address without brackets")
	case strings.Contains(s, "%"):
		return bad("zone ids are not allowed")
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.String(), nil
	}
	if strings.Contains(s, "/") {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			return bad("a path is not allowed")
		}
		if prefix.Masked() != prefix {
			return bad("the block has host bits, write " + prefix.Masked().String())
		}
		return prefix.String(), nil
	}
	if strings.Contains(s, ":") {
		return bad("a port is not allowed")
	}
	name, wildcard := strings.CutPrefix(strings.TrimSuffix(s, "."), "*.")
	if why := hostNameFault(name); why != "" {
		return bad(why)
	}
	if wildcard {
		return "*." + name, nil
	}
	return name, nil
}

// hostNameFault says what is wrong with a lower-case host name.
func hostNameFault(name string) string {
	if strings.Contains(name, "*") {
		return "a wildcard may only be the first label"
	}
	if name == "" || len(name) > 253 {
		return "it is not a host name"
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "it is not a host name"
		}
		for _, r := range label {
			if r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') {
				return fmt.Sprintf("%q cannot be in a host name", r)
			}
		}
	}
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return "it looks like an IP address but is none"
	}
	return ""
}
