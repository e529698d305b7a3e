package result

import (
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oddish/api"
)

// Harbor test list #2, #4, #5
func TestReadRewards(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		json, text *string
		want       map[string]float64
		err        string
	}{
		"text":                       {nil, ptr("1\n"), map[string]float64{"reward": 1}, ""},
		"text with spaces":           {nil, ptr("  0.5 \n\n"), map[string]float64{"reward": 0.5}, ""},
		"text with an exponent":      {nil, ptr("1e-3"), map[string]float64{"reward": 0.001}, ""},
		"negative text":              {nil, ptr("-1"), map[string]float64{"reward": -1}, ""},
		"json":                       {ptr(`{"a": 1, "b": -0.5}`), nil, map[string]float64{"a": 1, "b": -0.5}, ""},
		"json before text":           {ptr(`{"reward": 0}`), ptr("1"), map[string]float64{"reward": 0}, ""},
		"bad json although text":     {ptr(`{`), ptr("1"), nil, VerifierOutputParseError},
		"empty json although text":   {ptr(``), ptr("1"), nil, RewardFileEmptyError},
		"neither":                    {nil, nil, nil, RewardFileNotFoundError},
		"empty text":                 {nil, ptr(""), nil, RewardFileEmptyError},
		"blank text":                 {nil, ptr(" \n"), nil, VerifierOutputParseError},
		"word":                       {nil, ptr("abc"), nil, VerifierOutputParseError},
		"two numbers":                {nil, ptr("1 2"), nil, VerifierOutputParseError},
		"hexadecimal":                {nil, ptr("0x1p4"), nil, VerifierOutputParseError},
		"underscore":                 {nil, ptr("1_0"), nil, VerifierOutputParseError},
		"NaN":                        {nil, ptr("NaN"), nil, VerifierOutputParseError},
		"infinity":                   {nil, ptr("-Infinity"), nil, VerifierOutputParseError},
		"too big":                    {nil, ptr("1e999"), nil, VerifierOutputParseError},
		"json NaN":                   {ptr(`{"reward": NaN}`), nil, nil, VerifierOutputParseError},
		"json too big":               {ptr(`{"reward": 1e999}`), nil, nil, VerifierOutputParseError},
		"json text":                  {ptr(`{"reward": "1"}`), nil, nil, VerifierOutputParseError},
		"json boolean":               {ptr(`{"reward": true}`), nil, nil, VerifierOutputParseError},
		"json null value":            {ptr(`{"reward": null}`), nil, nil, VerifierOutputParseError},
		"json nested":                {ptr(`{"reward": {"a": 1}}`), nil, nil, VerifierOutputParseError},
		"json list value":            {ptr(`{"reward": [1]}`), nil, nil, VerifierOutputParseError},
		"json list":                  {ptr(`[1]`), nil, nil, VerifierOutputParseError},
		"json number":                {ptr(`1`), nil, nil, VerifierOutputParseError},
		"json null":                  {ptr(`null`), nil, nil, VerifierOutputParseError},
		"json without rewards":       {ptr(`{}`), nil, nil, VerifierOutputParseError},
		"json with more behind it":   {ptr(`{"a": 1} {"b": 2}`), nil, nil, VerifierOutputParseError},
		"a file over the limit":      {nil, ptr(strings.Repeat(" ", MaxRewardBytes) + "1"), nil, VerifierOutputParseError},
		"a json file over the limit": {ptr(`{"a":1` + strings.Repeat(" ", MaxRewardBytes) + "}"), nil, nil, VerifierOutputParseError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, content := range map[string]*string{RewardJSON: c.json, RewardText: c.text} {
				if content != nil {
					if err := os.WriteFile(filepath.Join(dir, file), []byte(*content), 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
			got, err := ReadRewards(dir)
			wantError(t, err, c.err)
			if !maps.Equal(got, c.want) {
				t.Errorf("rewards are %v, want %v", got, c.want)
			}
		})
	}
	t.Run("never through a link, nor from a folder", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		other := filepath.Join(dir, "other")
		if err := errors.Join(os.WriteFile(other, []byte("1"), 0o644), os.Symlink(other, filepath.Join(dir, RewardText))); err != nil {
			t.Fatal(err)
		}
		_, err := ReadRewards(dir)
		wantError(t, err, VerifierOutputParseError)
		if err := os.Mkdir(filepath.Join(dir, RewardJSON), 0o755); err != nil {
			t.Fatal(err)
		}
		_, err = ReadRewards(dir)
		wantError(t, err, VerifierOutputParseError)
	})
}

func wantError(t *testing.T, err error, name string) {
	t.Helper()
	var e *Error
	if name == "" {
		if err != nil {
			t.Errorf("error: %v", err)
		}
		return
	}
	if !errors.As(err, &e) || e.Type != name || e.Class != api.ClassResult {
		t.Errorf("error is %v, want a %s", err, name)
	}
}

func TestPrimary(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rewards map[string]float64
		want    *float64
	}{
		{map[string]float64{"a": 2, "reward": 1}, ptr(1.0)},
		{map[string]float64{"a": 2}, ptr(2.0)},
		{map[string]float64{"a": 2, "b": 1}, nil},
		{nil, nil},
	} {
		got := Primary(c.rewards)
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("primary of %v is %v, want %v", c.rewards, got, c.want)
		}
	}
}

func FuzzParseReward(f *testing.F) {
	for _, s := range []string{"1", "-0.5e3", "nan", "0x1", "{}", `{"a":1}`, `{"a":{"b":1}}`, `{"a":1}x`, `{"a":1,"a":2}`, "\xff", "[", `{"reward":1e400}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte) (map[string]float64, error){ParseRewardText, ParseRewardJSON} {
			rewards, err := parse(data)
			if err != nil {
				if rewards != nil {
					t.Errorf("both %v and %v", rewards, err)
				}
				if len(err.Error()) > 1000 {
					t.Errorf("message of %d bytes", len(err.Error()))
				}
				continue
			}
			if len(rewards) == 0 {
				t.Error("neither reward nor error")
			}
			for name, v := range rewards {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					t.Errorf("reward %q is %v", name, v)
				}
			}
		}
	})
}

func ptr[T any](v T) *T { return &v }
