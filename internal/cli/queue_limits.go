package cli

import "oddish/internal/queue"

// queueLimits puts the configured limits together by the names of their keys; those of the flag win.
func queueLimits(setting, flag map[string]int) (map[string]int, error) {
	limits := map[string]int{}
	for _, from := range []struct {
		name   string
		limits map[string]int
	}{{"ODDISH_MODEL_CONCURRENCY_OVERRIDES", setting}, {"--n-concurrent", flag}} {
		for key, n := range from.limits {
			name, err := queue.LimitName(key)
			if err != nil {
				return nil, usagef("%s: %v", from.name, err)
			}
			limits[name] = n
		}
	}
	return limits, nil
}
