package trial

import (
	"log/slog"
	"reflect"
	"testing"

	"oddish/internal/sandbox"
)

func TestHostsOfTheRunAreAddedToPolicies(t *testing.T) {
	t.Parallel()
	list := func(hosts ...string) sandbox.Network {
		return sandbox.Network{Mode: sandbox.NetworkAllowlist, Hosts: hosts}
	}
	for name, c := range map[string]struct {
		policy sandbox.Network
		hosts  []string
		want   sandbox.Network
	}{
		"none":                    {list("a.test"), nil, list("a.test")},
		"to a list":               {list("a.test"), []string{"B.test.", "a.test", "10.0.0.0/8"}, list("a.test", "b.test", "10.0.0.0/8")},
		"to no network":           {sandbox.Network{Mode: sandbox.NetworkNone}, []string{"*.b.test"}, list("*.b.test")},
		"to what is open already": {sandbox.Network{Mode: sandbox.NetworkPublic}, []string{"b.test"}, sandbox.Network{Mode: sandbox.NetworkPublic}},
		"to the usual policy":     {sandbox.Network{}, []string{"b.test"}, sandbox.Network{}},
	} {
		r := &run{log: slog.New(slog.DiscardHandler)}
		got, err := r.opened(c.policy, "agent", c.hosts)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	r := &run{log: slog.New(slog.DiscardHandler)}
	if _, err := r.opened(list(), "agent", []string{"http://a.test"}); err == nil {
		t.Error("an address of the web was taken for a host")
	}
}
