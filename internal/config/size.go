package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes.
type Size int64

// UnmarshalText reads what ParseSize does.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := ParseSize(string(text))
	*s = Size(n)
	return err
}

// ParseSize reads a number of bytes with its unit, of which kb, mb, gb and tb are powers of 1000.
func ParseSize(text string) (int64, error) {
	lower, factor := strings.ToLower(strings.TrimSpace(text)), 1.0
	for i, unit := range []string{"kb", "mb", "gb", "tb"} {
		if n, is := strings.CutSuffix(lower, unit); is {
			lower, factor = n, math.Pow(1000, float64(i+1))
			break
		}
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(lower), 64)
	if err != nil || !(n >= 0) || n*factor > math.MaxInt64/2 {
		return 0, errors.New("want a number of bytes with a unit, such as 500mb or 20gb")
	}
	return int64(n * factor), nil
}
