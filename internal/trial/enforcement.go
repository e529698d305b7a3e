package trial

import (
	"oddish/internal/result"
	"oddish/internal/sandbox"
)

// Harbor's modes in which a resource is enforced. The two others, request and guarantee, reserve it, which no sandbox here does.
const (
	enforceAuto   = "auto"   // as well as the sandbox can
	enforceLimit  = "limit"  // as an upper bound, or not at all
	enforceIgnore = "ignore" // not
)

// enforce takes away bounds that the run does not want, and refuses modes that the sandbox lacks.
func (r *run) enforce(s *sandbox.Resources) error {
	e := r.Spec.Harbor.Environment
	if e == nil {
		return nil
	}
	can := r.Provider.Capabilities()
	for _, x := range []struct {
		what    string
		mode    *string
		asked   bool
		limited bool
		drop    func()
	}{
		{"cpus", e.CPUPolicy, s.CPUs > 0, can.CPULimit, func() { s.CPUs = 0 }},
		{"memory", e.MemoryPolicy, s.MemoryBytes > 0, can.MemoryLimit, func() { s.MemoryBytes = 0 }},
	} {
		if x.mode == nil {
			continue
		}
		switch *x.mode {
		case enforceAuto:
		case enforceIgnore:
			x.drop()
		case enforceLimit:
			if x.asked && !x.limited {
				return result.Errorf(result.UnsupportedTaskError, "the %s sandbox cannot limit %s on this machine, as the run demands with mode limit", r.Provider.Kind(), x.what)
			}
		default:
			return result.Errorf(result.UnsupportedTaskError, "the %s sandbox has no mode %s for %s: it has limit, ignore and auto", r.Provider.Kind(), *x.mode, x.what)
		}
	}
	return nil
}
