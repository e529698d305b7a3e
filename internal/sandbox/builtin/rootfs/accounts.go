//go:build linux && (amd64 || arm64)

package rootfs

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Ids of ordinary accounts start here. This machine's people are left out of a
// sandbox: a task that makes a user of its own finds the usual ids free.
const (
	firstPerson = 1000
	nobody      = 65534
)

// addAccounts generates who and where the sandbox is: users and groups (no passwords),
// host name, name server.
func (p *Plan) addAccounts(o HostOptions) error {
	passwd, err := systemEntries("/etc/passwd", 7)
	if err != nil {
		return err
	}
	group, err := systemEntries("/etc/group", 4)
	if err != nil {
		return err
	}
	var shadow, gshadow strings.Builder
	for _, e := range passwd {
		fmt.Fprintf(&shadow, "%s:*:19000:0:99999:7:::\n", e[0])
	}
	for _, e := range group {
		e[3] = "" // members are people
		fmt.Fprintf(&gshadow, "%s:*::\n", e[0])
	}
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return fmt.Errorf("make a machine id: %w", err)
	}
	add := func(name string, mode os.FileMode, content string) {
		p.Files = append(p.Files, File{Path: "/etc/" + name, Mode: mode, Content: []byte(content)})
	}
	add("passwd", 0o644, joinEntries(passwd))
	add("group", 0o644, joinEntries(group))
	add("shadow", 0o600, shadow.String())
	add("gshadow", 0o600, gshadow.String())
	add("hostname", 0o644, o.Hostname+"\n")
	add("hosts", 0o644, "127.0.0.1\tlocalhost "+o.Hostname+"\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	add("machine-id", 0o444, hex.EncodeToString(id)+"\n")
	resolv := ""
	if o.NameServer != "" {
		resolv = "nameserver " + o.NameServer + "\n"
	}
	add("resolv.conf", 0o644, resolv)
	return nil
}

// systemEntries reads passwd or group without the entries of people. Lines that
// are not right are left out.
func systemEntries(path string, fields int) ([][]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read this machine's accounts: %w", err)
	}
	var out [][]string
	for line := range strings.Lines(string(b)) {
		e := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(e) != fields {
			continue
		}
		id, err := strconv.Atoi(e[2])
		if err != nil || id >= firstPerson && id != nobody {
			continue
		}
		e[1] = "x" // a password hash in passwd itself is a relic, and a secret
		out = append(out, e)
	}
	return out, nil
}

func joinEntries(entries [][]string) string {
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(strings.Join(e, ":") + "\n")
	}
	return b.String()
}
