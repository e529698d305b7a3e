package result

import (
	"encoding/json"
	"testing"
)

func TestStepsOfAResultAreRead(t *testing.T) {
	t.Parallel()
	const first = `{"step_name": "one", "verifier_result": {"rewards": {"reward": 0.5, "style": 1}}, "exception_info": null,` +
		` "agent_execution": {"started_at": "2026-01-02T03:04:05Z", "finished_at": "2026-01-02T03:04:07.5Z"}, "verifier": {"started_at": "2026-01-02T03:04:08", "finished_at": null}}`
	const second = `{"step_name": "two", "verifier_result": null, "exception_info": {"exception_type": "StepSetupError", "exception_message": "no luck"}}`
	for name, c := range map[string]struct{ text, want string }{
		"none":       {`{"step_results": null}`, `null`},
		"not a word": {`{}`, `null`},
		"two, of which one went wrong, with times that are unknown": {
			`{"step_results": [` + first + `, ` + second + `]}`,
			`[{"name":"one","reward":0.5,"rewards":{"reward":0.5,"style":1},"error_type":null,"error_message":null,` +
				`"phase_timing":{"agent_execution":{"started_at":"2026-01-02T03:04:05Z","finished_at":"2026-01-02T03:04:07.5Z","duration_sec":2.5}}},` +
				`{"name":"two","reward":null,"rewards":null,"error_type":"StepSetupError","error_message":"no luck","phase_timing":{}}]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steps, err := Steps([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := json.Marshal(steps); string(got) != c.want {
				t.Errorf("steps are\n%s\nwant\n%s", got, c.want)
			}
		})
	}
	if _, err := Steps([]byte(`{"step_results": 1}`)); err == nil {
		t.Error("a number was read as steps")
	}
}
