package trial

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/task"
)

// network gives a policy of the task's as sandboxes take it.
func network(p task.NetworkPolicy) sandbox.Network {
	return sandbox.Network{Mode: sandbox.NetworkMode(p.Mode), Hosts: p.AllowedHosts}
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
