package dataset

import "testing"

// Harbor test list #39
func TestVersionsAreOrderedAsPEP440Says(t *testing.T) {
	t.Parallel()
	ordered := []string{
		"1.0.dev1", "1.0a1.dev1", "1.0a1", "1.0a2", "1.0b1", "1.0rc1", "1.0", "1.0+local", "1.0.post1.dev1", "1.0.post1", "1.0.1", "1.2", "1.10", "2.0", "1!0.1",
	}
	for i, older := range ordered[:len(ordered)-1] {
		newer := ordered[i+1]
		a, b := parseRelease(older), parseRelease(newer)
		if a == nil || b == nil {
			t.Fatalf("%q or %q is not understood", older, newer)
		}
		if a.compare(b) >= 0 || b.compare(a) <= 0 {
			t.Errorf("%s is not below %s", older, newer)
		}
	}
	for _, same := range [][2]string{{"1.0", "1.0.0"}, {"v1.0", "1"}, {"1.0-1", "1.0.post1"}, {"1.0alpha1", "1.0a1"}, {"1.0c1", "1.0rc1"}} {
		if a, b := parseRelease(same[0]), parseRelease(same[1]); a.compare(b) != 0 {
			t.Errorf("%s and %s are not the same", same[0], same[1])
		}
	}
}

// Harbor test list #39
func TestTheNewestVersionIsMeantWhenNoneIsNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want     string
		versions []string
	}{
		{"head", []string{"3.0", "head", "2.0"}},
		{"2.0", []string{"1.9", "2.0", "2.0rc1"}},
		{"1.10", []string{"1.9", "1.10", "latest"}},
		{"winter", []string{"autumn", "winter", "spring"}},
	} {
		if got := newest(c.versions); got != c.want {
			t.Errorf("newest of %q is %q, want %q", c.versions, got, c.want)
		}
	}
}
