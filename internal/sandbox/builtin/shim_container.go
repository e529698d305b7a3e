//go:build linux && (amd64 || arm64)

package builtin

import (
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/control/client"
	gvlog "gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/urpc"
	"gvisor.dev/gvisor/runsc/boot"
	"gvisor.dev/gvisor/runsc/config"
	"gvisor.dev/gvisor/runsc/container"
	"gvisor.dev/gvisor/runsc/flag"
	"gvisor.dev/gvisor/runsc/specutils"

	"oddish/internal/sandbox/netpeer"
)

// startContainer creates the container, links it to the network peer, and starts it.
//
// This happens in the shim's own process, not by the runsc command: gVisor moves
// the calling process through control groups and namespaces, which a process with
// nothing else to do may let it, and two program starts are saved.
func (s *shim) startContainer() error {
	gvlog.SetLevel(gvlog.Warning)
	conf, err := s.runscConfig(config.NetworkNone)
	if err != nil {
		return err
	}
	if err := writeJSON(s.dir.bundle()+"/config.json", ociSpec(s.rec, s.dir)); err != nil {
		return fmt.Errorf("write the container's settings: %w", err)
	}
	spec, err := specutils.ReadSpec(s.dir.bundle(), conf)
	if err != nil {
		return fmt.Errorf("check the container's settings: %w", err)
	}
	s.container, err = container.New(conf, container.Args{
		ID:        s.dir.id(),
		Spec:      spec,
		BundleDir: s.dir.bundle(),
		// The sentry and the gofer die with this process: without it the sandbox
		// would have no network, and nobody to tell how it ended.
		Attached: true,
	})
	if err != nil {
		return fmt.Errorf("create the sandbox: %w", err)
	}
	if err := s.connect(); err != nil {
		return err
	}
	// To gVisor "host" means here that the network is set up already.
	if conf, err = s.runscConfig(config.NetworkHost); err != nil {
		return err
	}
	if err := s.container.Start(conf); err != nil {
		return fmt.Errorf("start the sandbox: %w", err)
	}
	return nil
}

// runscConfig gives gVisor's settings, by the flags that its command would be given.
func (s *shim) runscConfig(network config.NetworkType) (*config.Config, error) {
	// By descriptors, which stay open: a path may be too long, or have a comma.
	root, _, err := viaFD(s.dir.runsc(), "")
	if err != nil {
		return nil, err
	}
	upper, _, err := viaFD(s.dir.upper(), "")
	if err != nil {
		return nil, err
	}
	flags := flag.NewFlagSet("runsc", flag.ContinueOnError)
	config.RegisterFlags(flags)
	err = flags.Parse([]string{
		"--root=" + root,
		"--network=" + network.String(),
		"--platform=systrap",
		"--overlay2=root:dir=" + upper + ",size=" + strconv.FormatInt(s.rec.Resources.StorageBytes, 10),
		"--ignore-cgroups=" + strconv.FormatBool(s.rec.Cgroup == ""),
		"--host-settings=ignore",
		"--host-uds=none",
		"--host-fifo=none",
		"--net-raw=false",
		"--allow-suid=true",
		"--panic-log=" + s.dir.log(),
	})
	if err != nil {
		return nil, fmt.Errorf("gVisor's settings: %w", err)
	}
	conf, err := config.NewFromFlags(flags)
	if err != nil {
		return nil, fmt.Errorf("gVisor's settings: %w", err)
	}
	return conf, nil
}

// connect gives the created sandbox its only link, to a network peer in this process.
// It can be done once, before the start: gVisor's filters do not allow it later.
func (s *shim) connect() error {
	policy, err := netpeer.PolicyOf(s.rec.Network, s.rec.AllowPrivate)
	if err != nil {
		return err
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make the network link: %w", err)
	}
	s.link = os.NewFile(uintptr(fds[0]), "link")
	guest := os.NewFile(uintptr(fds[1]), "guest link")
	defer guest.Close()
	for _, fd := range fds {
		netpeer.EnlargeBuffer(fd)
	}
	traffic, err := openTraffic(s.dir.traffic())
	if err != nil {
		return err
	}
	record := netpeer.NewLog(traffic, s.log).Record
	s.peer, err = netpeer.New(netpeer.Config{FD: fds[0], Policy: policy, Service: s.rec.ServiceSocket, Record: record, Log: s.log})
	if err != nil {
		return err
	}
	path, done, err := viaFD(s.dir.runsc(), sentrySocket(s.dir.id()))
	if err != nil {
		return fmt.Errorf("link the network: %w", err)
	}
	defer done()
	conn, err := client.ConnectTo(path)
	if err != nil {
		return fmt.Errorf("link the network: %w", err)
	}
	defer conn.Close()
	if err := conn.Call(boot.NetworkCreateLinksAndRoutes, linkArgs(guest), nil); err != nil {
		return fmt.Errorf("link the network: %w", err)
	}
	return nil
}

func linkArgs(guest *os.File) *boot.CreateLinksAndRoutesArgs {
	ip := func(b [4]byte) net.IP { return net.IPv4(b[0], b[1], b[2], b[3]).To4() }
	gateway, address := ip(netpeer.Gateway().As4()), ip(netpeer.Guest().As4())
	mask := net.CIDRMask(netpeer.PrefixLen, 32)
	everywhere := net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	return &boot.CreateLinksAndRoutesArgs{
		FilePayload:   urpc.FilePayload{Files: []*os.File{guest}},
		LoopbackLinks: []boot.LoopbackLink{boot.DefaultLoopbackLink},
		FDBasedLinks: []boot.FDBasedLink{{
			Name:              "eth0",
			MTU:               netpeer.MTU,
			Addresses:         []boot.IPWithPrefix{{Address: address, PrefixLen: netpeer.PrefixLen}},
			Routes:            []boot.Route{{Destination: net.IPNet{IP: address.Mask(mask), Mask: mask}}},
			TXChecksumOffload: true,
			RXChecksumOffload: true,
			NumChannels:       1,
		}},
		Defaultv4Gateway: boot.DefaultRoute{
			Route: boot.Route{Destination: everywhere, Gateway: gateway},
			Name:  "eth0",
		},
	}
}
