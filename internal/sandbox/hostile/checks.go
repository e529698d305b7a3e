package hostile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"oddish/internal/sandbox"
	"oddish/internal/tarball"
)

// all are the checks, in the order in which they are shown.
func all() []check {
	memory := func(c sandbox.Capabilities) bool { return c.MemoryLimit }
	storage := func(c sandbox.Capabilities) bool { return c.StorageLimit }
	cut := func(c sandbox.Capabilities) bool { return c.NoNetwork }
	return []check{
		{"files of this machine cannot be read", 1, nil, seesFiles},
		{"processes of this machine cannot be seen", 1, nil, seesProcesses},
		{"no socket of a container engine is there", 1, nil, hasEngine},
		{"disks of this machine cannot be opened", 1, nil, opensDisks},
		{"settings of this machine's kernel cannot be changed", 1, nil, changesKernel},
		{"the kernel is the sandbox's own", 2, nil, sharesKernel},
		{"without network nothing is reached, no name is asked for", 1, cut, reachesWithout},
		{"addresses with credentials (metadata) are not reached", 2, nil, reachesMetadata},
		{"services of this machine are not reached", 2, nil, reachesMachine},
		{"other sandboxes are not reached", 2, nil, reachesSibling},
		{"a fork bomb is held and the sandbox can be stopped", 1, nil, forkBomb},
		{"memory beyond the limit is not had", 1, memory, takesMemory},
		{"disk beyond the limit is not had", 1, storage, takesDisk},
		{"the death of process 1 is told, or does not happen", 1, nil, killsInit},
		{"what ignores signals, or hides as a daemon, is stopped", 1, nil, outlives},
		{"links, pipes and devices among outputs stay inside", 1, nil, plantsLinks},
	}
}

func seesFiles(ctx context.Context, g *ground) error {
	script := fmt.Sprintf("cat %[1]s /proc/1/root%[1]s /proc/1/cwd/../../../../..%[1]s /proc/*/root%[1]s 2>/dev/null; true", g.secret())
	return g.in(ctx, script, never(g.token, "a file of this machine was read: "+g.secret()))
}

func seesProcesses(ctx context.Context, g *ground) error {
	return g.in(ctx, "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'; true", never(g.token, "arguments and environment of a process of this machine were read"))
}

func hasEngine(ctx context.Context, g *ground) error {
	return g.in(ctx, `find / -xdev -type s \( -name docker.sock -o -name containerd.sock -o -name podman.sock -o -name crio.sock \) 2>/dev/null; true`, func(said string) error {
		if said = strings.TrimSpace(said); said != "" {
			return fmt.Errorf("there is %s", said)
		}
		return nil
	})
}

func opensDisks(ctx context.Context, g *ground) error {
	// 8:0 and 254:0 are first disks, 1:1 is the memory.
	script := `cd /tmp; for d in "b 8 0" "b 254 0" "b 259 0" "c 1 1"; do rm -f d; mknod d $d 2>/dev/null && head -c 1 d >/dev/null 2>&1 && echo opened $d; done; true`
	return g.in(ctx, script, never("opened", "a device of this machine could be made and read"))
}

func changesKernel(ctx context.Context, g *ground) error {
	// What is written is what is there.
	script := `for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/vm/overcommit_memory /sys/kernel/uevent_helper; do
	[ -f $f ] && v=$(cat $f 2>/dev/null) && printf '%s' "$v" 2>/dev/null >$f && echo wrote $f; done; true`
	box, stop, err := g.box(ctx)
	if err != nil {
		return err
	}
	defer stop()
	said, err := says(ctx, box, script)
	if err != nil {
		return err
	}
	if strings.Contains(said, "wrote") && sharesKernel(ctx, g) != nil {
		return errors.New(strings.ReplaceAll(strings.TrimSpace(said), "\n", ", "))
	}
	return nil
}

func sharesKernel(ctx context.Context, g *ground) error {
	ours, err := os.ReadFile("/proc/version")
	if err != nil {
		return err
	}
	return g.in(ctx, "cat /proc/version", func(said string) error {
		if strings.TrimSpace(said) == strings.TrimSpace(string(ours)) {
			return errors.New("it is this machine's: a hole in that is a hole in the sandbox")
		}
		return nil
	})
}

// connect is a script that connects to an address and shows what it says.
func connect(host, port string) string {
	return fmt.Sprintf("timeout 3 bash -c 'exec 3<>/dev/tcp/%s/%s && echo connected && timeout 1 head -n 1 <&3' 2>/dev/null; ", host, port)
}

func reachesWithout(ctx context.Context, g *ground) error {
	script := connect("127.0.0.1", g.port())
	for _, host := range g.hosts {
		script += connect(host, g.port())
	}
	script += "timeout 5 getent hosts example.com && echo connected; true"
	return g.in(ctx, script, never("connected", "a connection was made, or a name resolved"), func(s *sandbox.Spec) { s.Network = sandbox.Network{Mode: sandbox.NetworkNone} })
}

func reachesMetadata(ctx context.Context, g *ground) error {
	script := connect("169.254.169.254", "80") + connect("169.254.170.2", "80") + connect("100.100.100.200", "80")
	return g.in(ctx, script+"true", never("connected", "a metadata service answers"))
}

func reachesMachine(ctx context.Context, g *ground) error {
	script := connect("127.0.0.1", g.port())
	for _, host := range g.hosts {
		script += connect(host, g.port())
	}
	return g.in(ctx, script+"true", never(g.token, "a service that listens on this machine was reached"))
}

func reachesSibling(ctx context.Context, g *ground) error {
	one, stopOne, err := g.box(ctx)
	if err != nil {
		return err
	}
	defer stopOne()
	const listen = `perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 4711, Listen => 5) or die $!; while ($c = $s->accept) { print $c "sibling\n"; close $c }' >/dev/null 2>&1 &
hostname -I 2>/dev/null || cat /proc/net/fib_trie 2>/dev/null | grep -o '[0-9.]*\.[0-9]*' ; true`
	said, err := says(ctx, one, listen)
	if err != nil {
		return err
	}
	script := ""
	for _, ip := range strings.Fields(said) {
		if !strings.HasPrefix(ip, "127.") && !strings.HasSuffix(ip, ".0") && !strings.HasSuffix(ip, ".255") {
			script += connect(ip, "4711")
		}
	}
	return g.in(ctx, script+"true", func(said string) error {
		if !strings.Contains(said, "sibling") {
			return nil
		}
		return errors.New("a service in another sandbox was reached")
	})
}

func forkBomb(ctx context.Context, g *ground) error {
	box, stop, err := g.box(ctx)
	if err != nil {
		return err
	}
	defer stop()
	bomb, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, _ = says(bomb, box, "b() { b | b & }; b; sleep 30") // whether it is stopped is what counts
	return stopsSoon(ctx, box)
}

// stopsSoon wants that the sandbox stops within ten seconds.
func stopsSoon(ctx context.Context, box sandbox.Sandbox) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := box.Stop(ctx); err != nil {
		return fmt.Errorf("the sandbox does not stop: %w", err)
	}
	return nil
}

func takesMemory(ctx context.Context, g *ground) error {
	box, stop, err := g.box(ctx, func(s *sandbox.Spec) { s.Resources.MemoryBytes = 256 << 20 })
	if err != nil {
		return err
	}
	defer stop()
	said, err := says(ctx, box, `perl -e '$x = "x" x (1 << 30); print "had ", length $x'`)
	if err == nil && strings.Contains(said, "had") {
		return errors.New("1 GiB was had in a sandbox with 256 MiB")
	}
	return nil
}

func takesDisk(ctx context.Context, g *ground) error {
	script := "head -c 268435456 /dev/zero >/var/tmp/big 2>/dev/null; stat -c %s /var/tmp/big"
	return g.in(ctx, script, func(said string) error {
		if strings.TrimSpace(said) == "268435456" {
			return errors.New("256 MiB were written in a sandbox with 64 MiB")
		}
		return nil
	}, func(s *sandbox.Spec) { s.Resources.StorageBytes = 64 << 20 })
}

func killsInit(ctx context.Context, g *ground) error {
	box, stop, err := g.box(ctx)
	if err != nil {
		return err
	}
	defer stop()
	_, _ = says(ctx, box, "kill -9 1; kill -9 -1; sleep 1")
	if _, err := says(ctx, box, "true"); err != nil && !errors.Is(err, sandbox.ErrLost) {
		return fmt.Errorf("it is not told as the loss of the sandbox: %w", err)
	}
	return nil
}

func outlives(ctx context.Context, g *ground) error {
	box, stop, err := g.box(ctx)
	if err != nil {
		return err
	}
	defer stop()
	marker := fmt.Sprintf("7%d7", 1_000_000+g.next()*7919+int64(os.Getpid()))
	if _, err := says(ctx, box, "(trap '' HUP TERM INT; setsid sh -c 'trap \"\" HUP TERM INT; sleep "+marker+" & sleep "+marker+"' >/dev/null 2>&1 &) ; sleep 0.5"); err != nil {
		return err
	}
	if err := stopsSoon(ctx, box); err != nil {
		return err
	}
	// The engine tells of the end when its processes are reaped.
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		n, err := processesWith("sleep\x00" + marker)
		if err != nil || n == 0 {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d processes of the sandbox go on after its end", n)
		}
	}
}

func plantsLinks(ctx context.Context, g *ground) error {
	box, stop, err := g.box(ctx)
	if err != nil {
		return err
	}
	defer stop()
	script := fmt.Sprintf(`cd /logs/artifacts && ln -s %[1]s secret; ln -s ../../../../../../../..%[1]s climbing; ln -s / root; mkfifo pipe; mknod disk b 8 0; mkdir deep; ln -s %[2]s deep/folder; echo plain >plain; true`, g.secret(), g.dir)
	if _, err := says(ctx, box, script); err != nil {
		return err
	}
	to, err := os.MkdirTemp("", "oddish-hostile-out-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(to)
	if err := fetch(ctx, box, "/logs/artifacts", to); err != nil {
		return err
	}
	if text, err := os.ReadFile(filepath.Join(to, "plain")); err != nil || string(text) != "plain\n" {
		return fmt.Errorf("a plain file does not come out: %q, %w", text, err)
	}
	return filepath.WalkDir(to, func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !d.Type().IsRegular() {
			return fmt.Errorf("%s came out as %s", filepath.Base(name), d.Type())
		}
		return err
	})
}

func fetch(ctx context.Context, box sandbox.Sandbox, from, to string) error {
	out, err := os.CreateTemp("", "oddish-hostile-*.tar")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	if err := box.Download(ctx, from, out); err != nil {
		return err
	}
	if _, err := out.Seek(0, 0); err != nil {
		return err
	}
	_, err = tarball.Unpack(out, to, tarball.UnpackOptions{Lenient: true})
	return err
}
