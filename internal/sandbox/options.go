package sandbox

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// OptionPrivate lets a sandbox with the public network reach private addresses too: `--ek allow_private=true`.
const OptionPrivate = "allow_private"

// AllowPrivate reads the options of a kind that has OptionPrivate and no other. An unknown one is ErrUnsupported.
func AllowPrivate(kind string, options map[string]string) (private bool, err error) {
	for _, key := range slices.Sorted(maps.Keys(options)) {
		if key != OptionPrivate {
			return false, fmt.Errorf("the %s sandbox has no option %q (it has %q): %w", kind, key, OptionPrivate, ErrUnsupported)
		}
		if private, err = strconv.ParseBool(options[key]); err != nil {
			return false, fmt.Errorf("option %s: %q is neither true nor false", key, options[key])
		}
	}
	return private, nil
}
