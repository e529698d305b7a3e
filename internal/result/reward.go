package result

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Names of the reward files in a verifier's directory, in the order in which they are looked for.
const (
	RewardJSON = "reward.json"
	RewardText = "reward.txt"
)

// MaxRewardBytes bounds a reward file.
const MaxRewardBytes = 1 << 20

// ReadRewards gives the rewards that a verifier left in dir: those of reward.json, or
// else the number in reward.txt under the name "reward". They are taken as they are, also negative
// ones and those over 1.
//
// Its errors are *Error: RewardFileNotFoundError, RewardFileEmptyError and VerifierOutputParseError.
func ReadRewards(dir string) (map[string]float64, error) {
	for _, file := range []struct {
		name  string
		parse func([]byte) (map[string]float64, error)
	}{{RewardJSON, ParseRewardJSON}, {RewardText, ParseRewardText}} {
		data, err := readRewardFile(dir, file.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, Errorf(VerifierOutputParseError, "%s: %w", file.name, err)
		}
		if len(data) == 0 {
			return nil, Errorf(RewardFileEmptyError, "%s is empty: the test script must write its reward there", file.name)
		}
		rewards, err := file.parse(data)
		if err != nil {
			return nil, Errorf(VerifierOutputParseError, "%s: %w", file.name, err)
		}
		return rewards, nil
	}
	return nil, Errorf(RewardFileNotFoundError,
		"the test script wrote neither /logs/verifier/%s nor /logs/verifier/%s", RewardJSON, RewardText)
}

// readRewardFile reads a regular file, never through a link: what is in dir came out of a sandbox.
func readRewardFile(dir, name string) ([]byte, error) {
	path := filepath.Join(dir, name)
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	if info.Size() > MaxRewardBytes {
		return nil, fmt.Errorf("%d bytes, more than %d", info.Size(), MaxRewardBytes)
	}
	return os.ReadFile(path)
}

// ParseRewardText gives the one number of a reward.txt under the name "reward".
func ParseRewardText(data []byte) (map[string]float64, error) {
	text := strings.TrimSpace(string(data))
	if text == "" {
		return nil, errors.New("holds only white space, want a number")
	}
	if strings.ContainsAny(text, "xX_") { // Go's hexadecimal floats, which no other reader takes
		return nil, fmt.Errorf("%s is not a number", quoteShort(text))
	}
	v, err := number(text)
	if err != nil {
		return nil, err
	}
	return map[string]float64{"reward": v}, nil
}

// ParseRewardJSON gives the numbers of a reward.json: one object, whose values are all finite numbers.
func ParseRewardJSON(data []byte) (map[string]float64, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	var raw map[string]json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) {
			return nil, fmt.Errorf("is a JSON %s, want an object of numbers", kind.Value)
		}
		return nil, fmt.Errorf("is not JSON: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("has more after its JSON object")
	}
	if len(raw) == 0 {
		return nil, errors.New("holds no reward, want an object of numbers")
	}
	rewards := make(map[string]float64, len(raw))
	for name, value := range raw {
		v, err := jsonNumber(value)
		if err != nil {
			return nil, fmt.Errorf("reward %s: %w", quoteShort(name), err)
		}
		rewards[name] = v
	}
	return rewards, nil
}

func jsonNumber(value json.RawMessage) (float64, error) {
	switch c := value[0]; {
	case c == '{' || c == '[':
		return 0, errors.New("is nested, want a number")
	case c != '-' && (c < '0' || c > '9'):
		return 0, fmt.Errorf("%s is not a number", quoteShort(string(value)))
	}
	return number(string(value))
}

// number parses a finite number.
func number(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) || err == nil && (math.IsNaN(v) || math.IsInf(v, 0)):
		return 0, fmt.Errorf("%s is not a finite number", quoteShort(text))
	case err != nil:
		return 0, fmt.Errorf("%s is not a number", quoteShort(text))
	}
	return v, nil
}

// quoteShort quotes untrusted text for a message.
func quoteShort(s string) string {
	const most = 60
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strconv.Quote(s)
}

// Primary gives the reward that stands for all: the one called "reward", else the only one; nil otherwise.
func Primary(rewards map[string]float64) *float64 {
	if v, ok := rewards["reward"]; ok {
		return &v
	}
	if len(rewards) == 1 {
		for _, v := range rewards {
			return &v
		}
	}
	return nil
}
