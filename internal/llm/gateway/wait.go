package gateway

import (
	"encoding/json"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// askedWait gives how long the provider wants us to wait: the longest of Retry-After, Gemini's RetryInfo, what its message says, and the reset of
// every limit that has nothing remaining. 0 means that it named nothing.
func askedWait(h http.Header, body []byte, message string, now time.Time) time.Duration {
	waits := []time.Duration{retryAfter(h, now), retryInfo(body), saidWait(message)}
	for name := range h {
		remaining := strings.Replace(name, "Reset", "Remaining", 1)
		if remaining != name && h.Get(remaining) == "0" {
			waits = append(waits, resetIn(h.Get(name), now))
		}
	}
	var longest time.Duration
	for _, w := range waits {
		longest = max(longest, w)
	}
	return longest
}

func retryAfter(h http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil {
		return seconds(ms / 1000)
	}
	value := h.Get("Retry-After")
	if s, err := strconv.ParseFloat(value, 64); err == nil {
		return seconds(s)
	}
	if at, err := http.ParseTime(value); err == nil {
		return at.Sub(now)
	}
	return 0
}

// seconds tolerates what servers have sent: negative, absurd and not a number count as nothing.
func seconds(s float64) time.Duration {
	if !(s > 0) || s > 30*24*3600 {
		return 0
	}
	return time.Duration(math.Ceil(s * float64(time.Second)))
}

// resetIn reads OpenAI's "6m0s", a number of seconds, or Anthropic's time.
func resetIn(value string, now time.Time) time.Duration {
	if d, err := time.ParseDuration(value); err == nil {
		return d
	}
	if s, err := strconv.ParseFloat(value, 64); err == nil && s < 1e9 {
		return seconds(s)
	}
	if at, err := time.Parse(time.RFC3339, value); err == nil {
		return at.Sub(now)
	}
	return 0
}

func retryInfo(body []byte) time.Duration {
	var told struct {
		Error struct {
			Details []struct {
				RetryDelay string `json:"retryDelay"`
			} `json:"details"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &told) != nil {
		return 0
	}
	var longest time.Duration
	for _, detail := range told.Error.Details {
		if d, err := time.ParseDuration(detail.RetryDelay); err == nil {
			longest = max(longest, d)
		}
	}
	return longest
}

// saidWait reads "Please try again in 1m2.5s" and the like.
func saidWait(message string) time.Duration {
	said := regexp.MustCompile(`(?i)(?:try again|retry) in (\d[\dhms.]*)`).FindStringSubmatch(message)
	if said == nil {
		return 0
	}
	d, err := time.ParseDuration(strings.TrimRight(said[1], "."))
	if err != nil {
		return 0
	}
	return d
}
