package trial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/task"
)

// network gives a policy of the task's as sandboxes take it.
func network(p task.NetworkPolicy) sandbox.Network {
	return sandbox.Network{Mode: sandbox.NetworkMode(p.Mode), Hosts: p.AllowedHosts}
}

// opened adds hosts of the run to a policy. They change nothing where everything is open, and no network becomes one with just those hosts.
func (r *run) opened(n sandbox.Network, what string, hosts []string) (sandbox.Network, error) {
	if len(hosts) == 0 {
		return n, nil
	}
	if n.Mode == "" || n.Mode == sandbox.NetworkPublic {
		r.log.Warn("extra allowed hosts have no meaning where the network is public", "of", what)
		return n, nil
	}
	more := sandbox.Network{Mode: sandbox.NetworkAllowlist, Hosts: slices.Clone(n.Hosts)}
	for _, h := range hosts {
		host, err := task.NormalizeHost(h)
		if err != nil {
			return n, result.Errorf(result.ValueError, "extra allowed hosts of the %s: %v", what, err)
		}
		if !slices.Contains(more.Hosts, host) {
			more.Hosts = append(more.Hosts, host)
		}
	}
	return more, nil
}

// openEnvironment adds the run's hosts to the policy that a sandbox starts with.
func (r *run) openEnvironment(s *sandbox.Spec) (err error) {
	if e := r.Spec.Harbor.Environment; e != nil {
		s.Network, err = r.opened(s.Network, "environment", e.ExtraAllowedHosts)
	}
	return err
}

// saveNetworkLog keeps what a sandbox tried to reach, if it knows: of the agent's in the trial's folder, of a separate verifier's beside its logs.
func (r *run) saveNetworkLog(ctx context.Context, box sandbox.Sandbox) {
	logger, can := sandbox.As[sandbox.NetworkLogger](box)
	if !can {
		return
	}
	err := r.writeNetworkLog(ctx, logger, filepath.Join(r.logsOf(box), result.NetworkFile))
	if err != nil {
		r.log.Warn("log of connections not kept", "error", err)
	}
}

// logsOf gives the folder for what a sandbox tells of itself.
func (r *run) logsOf(box sandbox.Sandbox) string {
	if r.step != nil && r.step.box != nil && r.step.box.ID() == box.ID() {
		return r.step.verifierDir()
	}
	return r.dir
}

// writeNetworkLog writes no file where nothing was tried.
func (r *run) writeNetworkLog(ctx context.Context, logger sandbox.NetworkLogger, path string) error {
	var log bytes.Buffer
	if err := logger.NetworkLog(ctx, &log); err != nil || log.Len() == 0 {
		return err
	}
	return os.WriteFile(path, log.Bytes(), 0o644)
}

func samePolicy(a, b sandbox.Network) bool {
	return a.Mode == b.Mode && slices.Equal(a.Hosts, b.Hosts)
}

// baseline is the policy that the verifier's sandbox is started with.
func (p *stepPlan) baseline(whole *plan) sandbox.Network {
	if p.separate != nil {
		return p.separate.spec.Network
	}
	return whole.spec.Network
}

// planNetwork decides what the agent and the verifier of a step may reach, and refuses what the sandbox cannot enforce.
func (r *run) planNetwork(p *plan, s *stepPlan) error {
	s.agentNetwork, s.verifierNetwork = p.spec.Network, s.baseline(p)
	if s.Agent.Network.Mode != "" {
		s.agentNetwork = network(s.Agent.Network)
	}
	var err error
	if s.agentNetwork, err = r.opened(s.agentNetwork, "agent", r.Spec.AgentConfig.ExtraAllowedHosts); err != nil {
		return err
	}
	if s.Verifier.Network.Mode != "" && !p.disabled {
		s.verifierNetwork = network(s.Verifier.Network)
	}
	for _, phase := range []struct {
		of               string
		baseline, policy sandbox.Network
	}{
		{"agent", p.spec.Network, s.agentNetwork},
		{"verifier", s.baseline(p), s.verifierNetwork},
	} {
		if samePolicy(phase.baseline, phase.policy) {
			continue
		}
		if !r.Provider.Capabilities().DynamicNetwork {
			return result.Errorf(result.UnsupportedTaskError, "the %s sandbox cannot change its network policy while it runs, and %s.network_mode is another than that of its environment",
				r.Provider.Kind(), s.of(phase.of))
		}
		if err := r.checkPolicy(phase.policy); err != nil {
			return err
		}
	}
	return nil
}

// checkPolicy refuses a policy that the sandbox cannot enforce.
func (r *run) checkPolicy(n sandbox.Network) error {
	can, kind := r.Provider.Capabilities(), r.Provider.Kind()
	switch {
	case n.Mode == sandbox.NetworkNone && !can.NoNetwork:
		return result.Errorf(result.UnsupportedTaskError, "the %s sandbox cannot cut the network off, as the task demands", kind)
	case n.Mode == sandbox.NetworkAllowlist && !can.Allowlist:
		return result.Errorf(result.UnsupportedTaskError, "the %s sandbox cannot limit the network to some hosts, as the task demands", kind)
	}
	return nil
}

// underPolicy puts a policy in force while f runs, and then the sandbox's own again. If that fails the trial ends: nothing goes on with more
// network than it may have.
func (r *run) underPolicy(ctx context.Context, box sandbox.Sandbox, own, policy sandbox.Network, f func() error) error {
	if samePolicy(own, policy) {
		return f()
	}
	if err := box.SetNetwork(ctx, policy); err != nil {
		return fmt.Errorf("change the network policy to %s: %w", policy.Mode, err)
	}
	err := f()
	if errors.Is(err, sandbox.ErrLost) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if back := box.SetNetwork(ctx, own); back != nil {
		return fmt.Errorf("change the network policy back to %s: %w", own.Mode, back)
	}
	return err
}
