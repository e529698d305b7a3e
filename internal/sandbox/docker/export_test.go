package docker

// SetSubnets replaces what chooses address ranges.
func SetSubnets(p *Provider, subnet func() string) { p.subnet = subnet }
