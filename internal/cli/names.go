package cli

import (
	"crypto/rand"
	"math/big"
	"strings"
)

// Words of experiment names: short, neutral, hard to take for one another.
const (
	adjectives = "amber azure brisk calm clear copper crisp eager even fresh gentle golden hidden keen lively lucid mellow nimble patient proud quiet rapid silver steady sunny tidy vivid warm"
	nouns      = "acorn anchor aspen badger beacon birch brook canyon cedar comet crane delta ember falcon fern fjord harbor heron juniper lantern maple meadow orchid otter pebble quartz raven reef river sparrow summit tundra willow"
)

// experimentName draws a name such as calm-otter-k3f9.
func experimentName() string {
	const letters = "0123456789abcdefghijklmnopqrstuvwxyz"
	var b strings.Builder
	b.WriteString(pick(strings.Fields(adjectives)) + "-" + pick(strings.Fields(nouns)) + "-")
	for range 4 {
		b.WriteByte(letters[randomBelow(len(letters))])
	}
	return b.String()
}

func pick(words []string) string { return words[randomBelow(len(words))] }

func randomBelow(n int) int {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		return 0 // crypto/rand does not fail on the systems that we support; any name will do
	}
	return int(i.Int64())
}
