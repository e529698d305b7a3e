package predicate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// show writes a query in a form in which everything of it can be seen.
func show(q Query) string {
	var terms []string
	for _, t := range q.Terms {
		var values []string
		for _, v := range t.Values {
			text := fmt.Sprintf("%q", v.Text)
			switch {
			case v.Key != "":
				text = v.Key + "=" + text
			case v.Op != "":
				text = fmt.Sprintf("%s%g", v.Op, v.Number)
			}
			if v.Glob {
				text += "~"
			}
			if v.Presence != Given {
				text = map[Presence]string{None: "none", Some: "any"}[v.Presence] + " " + v.Key
			}
			values = append(values, strings.TrimSpace(text))
		}
		field := string(t.Field)
		if t.Not {
			field = "-" + field
		}
		terms = append(terms, field+":"+strings.Join(values, "|"))
	}
	return strings.Join(terms, " ")
}

func TestQueriesAreReadAsTheyAreMeant(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":       "",
		"  \t\n": "",
		"experiment:x status:failed error:SandboxStart*": `experiment:"x" status:"failed" error:"SandboxStart*"~`,
		"status:active,failed":                           `status:"queued"|"running"|"retrying"|"failed"`,
		"status:Ended":                                   `status:"success"|"failed"|"cancelled"`,
		"-status:success":                                `-status:"success"`,
		"STATUS:Failed":                                  `status:"failed"`,
		`experiment:"my run, the 2nd",other`:             `experiment:"my run, the 2nd"|"other"`,
		`experiment:'it''s'`:                             "!",
		`experiment:"say \"hi\" \\ \n"`:                  `experiment:"say \"hi\" \\ \\n"`,
		`experiment:"a*b"`:                               `experiment:"a*b"`,
		`message:don't`:                                  `message:"don't"`,
		"gpt -oracle":                                    `:"gpt" -:"oracle"`,
		`"-status:failed"`:                               `:"-status:failed"`,
		"a,b":                                            `:"a,b"`,
		"gpt-5?":                                         `:"gpt-5?"~`,
		"model:openai/*":                                 `model:"openai/*"~`,
		"reward:1,none":                                  `reward:=1|none`,
		"reward:<0.5 -reward:>=-1":                       `reward:<0.5 -reward:>=-1`,
		"error:none":                                     `error:none`,
		`error:"none"`:                                   `error:none`,
		"class:RATE_LIMIT,any":                           `class:"rate_limit"|any`,
		"attempts:>1 version:=2":                         `attempts:>1 version:=2`,
		"tag:suite=smoke*":                               `tag:suite="smoke*"~`,
		`tag:"owner=Ann Lee"`:                            `tag:owner="Ann Lee"`,
		"tag:suite":                                      `tag:any suite`,
		"finished:none":                                  `finished:none`,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			q, err := Parse(text)
			if want == "!" {
				if err == nil {
					t.Errorf("it was read as %s", show(q))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := show(q); got != want {
				t.Errorf("read as %s, want %s", got, want)
			}
			if q.String() != strings.TrimSpace(text) {
				t.Errorf("its text is %q", q.String())
			}
		})
	}
}

func TestWhatIsNoQueryIsRefusedWithAdvice(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text   string
		column int
		want   []string
	}{
		{"experiment:x stauts:failed", 14, []string{`"stauts"`, "did you mean status?", "agent, model", "quote the word"}},
		{"zz:1", 1, []string{"there is no field zz; Known are experiment"}},
		{"status:fialed", 8, []string{"status: there is no status fialed; did you mean failed?", "active, ended"}},
		{"status:failed,runing", 15, []string{"did you mean running?"}},
		{"class:infra", 7, []string{"did you mean infrastructure?"}},
		{"reward:good", 8, []string{"want a number, such as 1, <0.5 or >=1, or none or any"}},
		{"reward:NaN", 8, []string{"want a number"}},
		{"attempts:1.5", 10, []string{"want a whole number"}},
		{"attempts:none", 10, []string{"want a whole number"}},
		{"created:2h", 9, []string{"want <2h for what is younger, or >2h for what is older"}},
		{"created:yesterday", 9, []string{"want an age"}},
		{"created:<99999w", 9, []string{"want an age"}},
		{"created:2026-02-30", 9, []string{"a date in UTC"}},
		{"tag:=x", 5, []string{"want KEY=VALUE"}},
		{"tag:a=", 5, []string{"want KEY=VALUE"}},
		{"status: failed", 8, []string{"status has an empty value", "without a blank"}},
		{"agent:a,,b", 9, []string{"empty value"}},
		{`agent:"a`, 7, []string{"the quote is not closed"}},
		{`agent:"a"b`, 7, []string{"without a blank"}},
		{`""`, 1, []string{"the quotes are empty"}},
		{"a - b", 3, []string{"nothing follows"}},
		{"ü stauts:x", 3, []string{"column 3"}}, // characters, not bytes
		{strings.Repeat("a", MaxLength+1), 1, []string{"longer than"}},
		{"agent:" + strings.Repeat("a,", maxValues) + "a", 1008, []string{"more than 500 values"}},
		{"a\x00", 2, []string{"zero byte"}},
		{"\xff", 1, []string{"UTF-8"}},
	} {
		t.Run(tc.text[:min(len(tc.text), 30)], func(t *testing.T) {
			t.Parallel()
			_, err := Parse(tc.text)
			var bad *SyntaxError
			if !errors.As(err, &bad) {
				t.Fatalf("the error is %v", err)
			}
			if bad.Column != tc.column {
				t.Errorf("column is %d, want %d: %v", bad.Column, tc.column, err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
		})
	}
}

func TestTimesBecomeSpans(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	day := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	var open time.Time
	for text, want := range map[string][2]time.Time{
		"<2h":                        {now.Add(-2 * time.Hour), open},
		"<=2h":                       {now.Add(-2 * time.Hour), open},
		">1d":                        {open, now.Add(-24 * time.Hour)},
		">=1w2d":                     {open, now.Add(-9 * 24 * time.Hour)},
		"2026-11-25":                 {day, day.AddDate(0, 0, 1)},
		"=2026-11-25":                {day, day.AddDate(0, 0, 1)},
		"<2026-11-25":                {open, day},
		"<=2026-11-25":               {open, day.AddDate(0, 0, 1)},
		">2026-11-25":                {day.AddDate(0, 0, 1), open},
		">=2026-11-25":               {day, open},
		">=2026-11-25T10:30":         {day.Add(10*time.Hour + 30*time.Minute), open},
		"<2026-11-25T10:30:15+01:00": {open, day.Add(9*time.Hour + 30*time.Minute + 15*time.Second)},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			q, err := Parse("created:" + text)
			if err != nil {
				t.Fatal(err)
			}
			if from, to := q.Terms[0].Values[0].Span.Between(now); !from.Equal(want[0]) || !to.Equal(want[1]) {
				t.Errorf("from %v to %v, want %v", from, to, want)
			}
		})
	}
}

func TestLikePatternsEscapeWhatSQLTakesForWildcards(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"a*b?": "a%b_", `50%_\`: `50\%\_\\`, "a***b": "a%b", "*": "%"} {
		if got := newPattern(text, false).Like(); got != want {
			t.Errorf("%s gives %s, want %s", text, got, want)
		}
	}
	if got := newPattern("a*?", true).Like(); got != "a*?" {
		t.Errorf("quoted, it gives %s", got)
	}
}

func TestEveryFieldCanBeRead(t *testing.T) {
	t.Parallel()
	for _, f := range Fields() {
		if reader(f) == nil {
			t.Errorf("field %s has no reader", f)
		}
	}
	if slices.Contains(Fields(), Word) {
		t.Error("the field of bare words can be written")
	}
}

func TestMoreTermsDoNotChangeTheQuery(t *testing.T) {
	t.Parallel()
	q, err := Parse("a b")
	if err != nil {
		t.Fatal(err)
	}
	one, two := q.And(Is(Status, "failed")), q.And(Is(Task, "x*"))
	if len(q.Terms) != 2 || one.Terms[2].Field != Status || two.Terms[2].Field != Task || two.Terms[2].Values[0].Glob {
		t.Errorf("%v, %v, %v", q, one, two)
	}
	if !one.Names(Error, Status) || one.Names(Error) || one.Empty() {
		t.Error("the fields are told wrongly")
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"experiment:x status:failed error:SandboxStart*", `-task:"a b",c? created:<1d2h tag:"k=v" reward:>=0.5`, "a - b", `"`, "é:", "created:>=2026-11-25T10:00:00Z"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := Parse(text)
		var bad *SyntaxError
		if err != nil {
			if !errors.As(err, &bad) || bad.Column < 1 || bad.Error() == "" {
				t.Errorf("the error is %#v", err)
			}
			return
		}
		again, err := Parse(q.String())
		if err != nil || show(again) != show(q) {
			t.Errorf("%q is read as %s at first and then as %s, %v", text, show(q), show(again), err)
		}
		for _, term := range q.Terms {
			if len(term.Values) == 0 {
				t.Errorf("%q has a term without values", text)
			}
		}
	})
}
