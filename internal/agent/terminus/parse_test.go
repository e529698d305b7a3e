package terminus

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Harbor's list of tests, no. 54.
//
// Harbor test list #54
func TestJSONAnswers(t *testing.T) {
	t.Parallel()
	const good = `{"analysis":"a","plan":"p","commands":[{"keystrokes":"ls\n","duration":0.1}],"task_complete":false}`
	ls := []Command{{"ls\n", 100 * time.Millisecond}}
	for name, c := range map[string]struct {
		answer   string
		commands []Command
		complete bool
		warnings []string // parts of them, in order; nil: none
		err      string
	}{
		"as it should be":                {good, ls, false, nil, ""},
		"prose around it":                {"Sure!\n" + good + "\nDone.", ls, false, []string{"before", "after"}, ""},
		"in a fence":                     {"```json\n" + good + "\n```", ls, false, []string{"before", "after"}, ""},
		"a brace is missing":             {strings.TrimSuffix(good, "}"), ls, false, []string{"AUTO-CORRECTED"}, ""},
		"a bracket and a brace":          {`{"analysis":"a","plan":"p","commands":[{"keystrokes":"ls\n","duration":0.1}`, ls, false, []string{"AUTO-CORRECTED"}, ""},
		"another object comes first":     {`{x} ` + good, ls, false, []string{"AUTO-CORRECTED"}, ""},
		"braces in strings":              {`{"analysis":"{ \" }","plan":"}","commands":[{"keystrokes":"ls\n","duration":0.1}]}`, ls, false, nil, ""},
		"no duration":                    {`{"analysis":"a","plan":"p","commands":[{"keystrokes":"ls\n"}]}`, []Command{{"ls\n", time.Second}}, false, []string{"no duration"}, ""},
		"a duration in words":            {`{"analysis":"a","plan":"p","commands":[{"keystrokes":"ls\n","duration":"long"}]}`, []Command{{"ls\n", time.Second}}, false, []string{"no number"}, ""},
		"a duration that is too long":    {`{"analysis":"a","plan":"p","commands":[{"keystrokes":"ls\n","duration":3600}]}`, []Command{{"ls\n", time.Minute}}, false, nil, ""},
		"another order":                  {`{"commands":[],"plan":"p","analysis":"a"}`, nil, false, []string{"order"}, ""},
		"complete as a text":             {`{"analysis":"a","plan":"p","commands":[],"task_complete":"yes"}`, nil, true, nil, ""},
		"complete as a number":           {`{"analysis":"a","plan":"p","commands":[],"task_complete":"1"}`, nil, true, nil, ""},
		"not complete in other words":    {`{"analysis":"a","plan":"p","commands":[],"task_complete":"almost"}`, nil, false, nil, ""},
		"unknown fields":                 {`{"analysis":"a","plan":"p","commands":[{"keystrokes":"ls\n","duration":0.1,"x":1}],"note":1}`, ls, false, []string{`"x"`, `"note"`}, ""},
		"two commands on one line":       {`{"analysis":"a","plan":"p","commands":[{"keystrokes":"ls","duration":1},{"keystrokes":"pwd\n","duration":1}]}`, []Command{{"ls", time.Second}, {"pwd\n", time.Second}}, false, []string{"newline"}, ""},
		"keys need no newline":           {`{"analysis":"a","plan":"p","commands":[{"keystrokes":"C-c","duration":1},{"keystrokes":"pwd\n","duration":1}]}`, []Command{{"C-c", time.Second}, {"pwd\n", time.Second}}, false, nil, ""},
		"nothing":                        {"I do not know.", nil, false, nil, "no valid JSON object"},
		"cut in a string":                {`{"analysis":"a","plan":"p","commands":[{"keystrokes":"rm -r`, nil, false, nil, "no valid JSON object"},
		"a field is missing":             {`{"analysis":"a","commands":[]}`, nil, false, nil, "missing required fields: plan"},
		"commands are no array":          {`{"analysis":"a","plan":"p","commands":"ls"}`, nil, false, nil, "must be an array"},
		"a command is no object":         {`{"analysis":"a","plan":"p","commands":["ls"]}`, nil, false, nil, "must be an object"},
		"a command without keys":         {`{"analysis":"a","plan":"p","commands":[{"duration":1}]}`, nil, false, nil, "keystrokes"},
		"bad commands do not undo a end": {`{"analysis":"a","plan":"p","commands":["ls"],"task_complete":true}`, nil, true, []string{"nothing was typed"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := jsonParser{}.parse(c.answer)
			check(t, r, err, c.commands, c.complete, c.warnings, c.err)
		})
	}
}

func check(t *testing.T, r Reply, err error, commands []Command, complete bool, warnings []string, fault string) {
	t.Helper()
	if fault != "" {
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("error %v, want one with %q", err, fault)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Commands, commands) || r.Complete != complete {
		t.Errorf("commands %q, complete %t", r.Commands, r.Complete)
	}
	if len(r.Warnings) != len(warnings) {
		t.Fatalf("warnings %q", r.Warnings)
	}
	for i, part := range warnings {
		if !strings.Contains(r.Warnings[i], part) {
			t.Errorf("warning %q, want one with %q", r.Warnings[i], part)
		}
	}
}

func TestXMLAnswers(t *testing.T) {
	t.Parallel()
	const good = "<response><analysis>a</analysis><plan>p</plan><commands><keystrokes duration=\"0.1\">ls\n</keystrokes></commands></response>"
	ls := []Command{{"ls\n", 100 * time.Millisecond}}
	in := func(commands string) string {
		return "<response><analysis>a</analysis><plan>p</plan><commands>" + commands + "</commands></response>"
	}
	for name, c := range map[string]struct {
		answer   string
		commands []Command
		complete bool
		warnings []string
		err      string
	}{
		"as it should be":      {good, ls, false, nil, ""},
		"prose around it":      {"Sure! " + good + " Done.", ls, false, []string{"before", "after"}, ""},
		"no end":               {strings.TrimSuffix(good, "</response>"), ls, false, []string{"closing tag"}, ""},
		"several":              {good + good, ls, false, []string{"only the first"}, ""},
		"complete":             {strings.Replace(good, "</response>", "<task_complete>true</task_complete></response>", 1), ls, true, nil, ""},
		"signs are taken raw":  {in("<keystrokes duration=\"1\">cat <<EOF > f && x\n</keystrokes>"), []Command{{"cat <<EOF > f && x\n", time.Second}}, false, nil, ""},
		"entities":             {in("<keystrokes duration=\"1\">a &lt; b\n</keystrokes>"), []Command{{"a &lt; b\n", time.Second}}, false, []string{"entities"}, ""},
		"single quotes":        {in("<keystrokes duration='1'>ls\n</keystrokes>"), []Command{{"ls\n", time.Second}}, false, []string{"double quotes"}, ""},
		"no duration":          {in("<keystrokes>ls\n</keystrokes>"), []Command{{"ls\n", time.Second}}, false, []string{"no duration"}, ""},
		"unknown attribute":    {in("<keystrokes duration=\"1\" wait=\"2\">ls\n</keystrokes>"), []Command{{"ls\n", time.Second}}, false, []string{"wait"}, ""},
		"waiting":              {in("<keystrokes duration=\"5\"></keystrokes>"), []Command{{"", 5 * time.Second}}, false, nil, ""},
		"unknown section":      {strings.Replace(good, "<plan>", "<thought>x</thought><plan>", 1), ls, false, []string{"thought"}, ""},
		"no analysis":          {"<response><plan>p</plan><commands></commands></response>", nil, false, []string{"analysis"}, ""},
		"no response":          {"ls", nil, false, nil, "no <response>"},
		"no commands":          {"<response><analysis>a</analysis><plan>p</plan></response>", nil, false, nil, "missing <commands>"},
		"command without end":  {in("<keystrokes duration=\"1\">ls\n"), nil, false, nil, "</keystrokes>"},
		"complete without any": {"<response><analysis>a</analysis><plan>p</plan><task_complete>true</task_complete></response>", nil, true, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := xmlParser{}.parse(c.answer)
			check(t, r, err, c.commands, c.complete, c.warnings, c.err)
		})
	}
}

func TestOnlyWholeXMLIsSalvaged(t *testing.T) {
	t.Parallel()
	whole := "<response><commands></commands></response>"
	if got, can := (xmlParser{}).salvage(whole + " and now I"); !can || got != whole {
		t.Errorf("%q, %t", got, can)
	}
	if _, can := (xmlParser{}).salvage("<response><commands><keystrokes>rm"); can {
		t.Error("half an answer was taken")
	}
	if _, can := (jsonParser{}).salvage(`{"commands": [`); can {
		t.Error("half an object was taken")
	}
}

// Harbor's list of tests, no. 56.
//
// Harbor test list #56
func TestObservationsAreCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	short := strings.Repeat("a", maxObservation)
	if limit(short, maxObservation) != short {
		t.Error("a text that fits was cut")
	}
	for shift := range 4 {
		text := strings.Repeat("x", shift) + strings.Repeat("🦆", 5000)
		got := limit(text, maxObservation)
		head, rest, _ := strings.Cut(got, "\n[... ")
		_, tail, _ := strings.Cut(rest, "...]\n")
		if !strings.HasPrefix(text, head) || !strings.HasSuffix(text, tail) || len(head) > 5000 || len(tail) > 5000 || len(head)+len(tail) < 9990 {
			t.Errorf("shift %d: %d and %d bytes", shift, len(head), len(tail))
		}
		if strings.ToValidUTF8(got, "") != got {
			t.Errorf("shift %d: a character was cut", shift)
		}
	}
}

func TestOnlyWhatIsNewIsShown(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a line of output\n", 5000)
	for name, c := range map[string]struct{ before, all, screen, want string }{
		"first look":     {"", "$ \n\n", "$ ", "Current Terminal Screen:\n$"},
		"more output":    {"$", "$ ls\na b\n$ \n", "", "New Terminal Output:\n ls\na b\n$"},
		"cleared":        {"$ ls\na b\n$", "$ ", "$ ", "Current Terminal Screen:\n$"},
		"after a lot":    {anchor(long + "$ "), long + "$ pwd\n/app\n$", "", "New Terminal Output:\n pwd\n/app\n$"},
		"nothing is new": {"$ sleep", "$ sleep\n", "", "New Terminal Output:\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := observe(c.before, Capture{c.all, c.screen}); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestContinuationPromptsAreSeen(t *testing.T) {
	t.Parallel()
	for screen, want := range map[string]bool{
		"$ cat <<EOF\n> ": true, "$ echo 'a\nquote> \n\n": true, "$ ls\n$ ": false, ">>> ": false, "": false, "a > b\n": false,
	} {
		if continues(screen) != want {
			t.Errorf("%q: %t", screen, !want)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{`{"analysis":"a","plan":"p","commands":[{"keystrokes":"ls\n","duration":0.1}]}`, "{{", `{"a":"\`, "<response><commands><keystrokes duration='1'>a</keystrokes></commands>", "<response>"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		for _, p := range []parser{jsonParser{}, xmlParser{}} {
			r, err := p.parse(answer)
			if err != nil {
				continue
			}
			for _, c := range r.Commands {
				if c.Duration < 0 || c.Duration > maxDuration {
					t.Errorf("duration %s", c.Duration)
				}
			}
		}
	})
}
