package config

import "testing"

func TestSizesAreReadWithTheirUnits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0": 0, "512": 512, "1kb": 1000, "1.5 GB": 1_500_000_000, " 20gb ": 20_000_000_000, "2tb": 2_000_000_000_000,
		"": -1, "gb": -1, "-1mb": -1, "nan": -1, "inf": -1, "9e30tb": -1, "10 miles": -1,
	} {
		var got Size
		err := got.UnmarshalText([]byte(text))
		if (err != nil) != (want < 0) || err == nil && int64(got) != want {
			t.Errorf("%q gave %d, %v, want %d", text, got, err, want)
		}
	}
}
