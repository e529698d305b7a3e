package agent

import (
	"errors"
	"fmt"
	"strings"

	"oddish/api"
	"oddish/internal/model"
)

// CheckModels refuses what contradicts itself in the configuration of a trial's way to its model: a replay asks no provider, and a helper model must be one that
// the trial's own provider has.
func CheckModels(c *api.AgentConfig, id string) error {
	switch {
	case c.Replay != "" && c.BaseURL != "":
		return errors.New("a replay asks no provider: leave out the address of a model's API")
	case c.Replay != "" && c.HelperModel != "":
		return errors.New("in a replay helper models are what they were in the recording: leave out the helper model")
	}
	return checkHelper(c, id)
}

func checkHelper(c *api.AgentConfig, id string) error {
	switch c.HelperModel {
	case "", api.HelperAllow:
		return nil
	}
	if model.Normalize("", id) == model.Default {
		return fmt.Errorf("helper model %s: the agent chooses its model itself, so that it cannot be told from its helpers: name the model", c.HelperModel)
	}
	switch c.HelperModel {
	case api.HelperSame, api.HelperRefuse:
		return nil
	}
	own, _, _ := strings.Cut(model.QueueKey("", id), "/")
	of, name, qualified := strings.Cut(model.QueueKey("", c.HelperModel), "/")
	if !qualified || name == "" || of != own {
		return fmt.Errorf("helper model %q: want allow, same, refuse, or a model of the same provider, such as %s/NAME", c.HelperModel, own)
	}
	return nil
}
