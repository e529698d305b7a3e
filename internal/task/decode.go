package task

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// parseConfig reads task.toml. What its author must mend is an *Error, or several joined in the order of
// their lines; what is ignored or outdated is a Warning.
func parseConfig(data []byte) (Config, []Warning, error) {
	doc, err := parseDocument(data)
	if err != nil {
		return Config{}, nil, err
	}
	d := &decoder{doc: doc}
	c := d.config()
	slices.SortStableFunc(d.warnings, func(a, b Warning) int { return a.Line - b.Line })
	return c, d.warnings, d.err()
}

func (d *decoder) config() Config {
	t := d.root()
	defer t.done()
	c := Config{
		SchemaVersion:           d.schemaVersion(t),
		Source:                  t.str("source"),
		MultiStepRewardStrategy: t.enum("multi_step_reward_strategy", StrategyMean, StrategyFinal),
		Artifacts:               d.artifacts(t),
		Package:                 d.packageTable(t.sub("task")),
	}
	if c.MultiStepRewardStrategy == "" {
		c.MultiStepRewardStrategy = StrategyMean
	}
	if m := t.sub("metadata"); m != nil {
		c.Metadata = m.values
	}
	c.Agent = d.agent(t.subOrEmpty("agent"))
	c.Verifier = d.verifier(t.subOrEmpty("verifier"))
	c.Environment = d.environment(t.subOrEmpty("environment"))
	solution := t.subOrEmpty("solution")
	c.Solution.Env = solution.env("env")
	solution.done()
	c.Steps = d.steps(t)
	return c
}

// schemaVersion is text; the numbers that some files have are understood.
func (d *decoder) schemaVersion(t *table) string {
	key := "schema_version"
	v := t.get(key)
	if old := t.get("version"); v == nil && old != nil {
		key, v = "version", old
	}
	switch v := v.(type) {
	case nil:
		return DefaultSchemaVersion
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case int64:
		return strconv.FormatInt(v, 10)
	default:
		t.fail(key, "must be a string such as %q, not %s", DefaultSchemaVersion, describe(v))
		return ""
	}
}

// packageName is org/name; ".." is refused apart from it.
var packageName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$`)

func (d *decoder) packageTable(t *table) *Package {
	if t == nil {
		return nil
	}
	defer t.done()
	p := &Package{
		Name:        t.required("name"),
		Version:     t.str("version"),
		Description: t.str("description"),
		Keywords:    t.strs("keywords"),
	}
	if p.Name != "" && (!packageName.MatchString(p.Name) || strings.Contains(p.Name, "..")) {
		d.fail(t.key("name"), "must look like org/name, of letters, digits, dots, underscores and hyphens, not %q", p.Name)
	}
	if t.has("version") && p.Version == "" && t.values["version"] == "" {
		d.fail(t.key("version"), "must not be empty")
	}
	for _, a := range t.subs("authors") {
		p.Authors = append(p.Authors, Author{Name: a.required("name"), Email: a.str("email")})
		a.done()
	}
	return p
}

func (d *decoder) agent(t *table) Agent {
	defer t.done()
	return Agent{TimeoutSec: t.seconds("timeout_sec"), User: t.user("user"), Network: d.network(t)}
}

func (d *decoder) verifier(t *table) Verifier {
	defer t.done()
	v := Verifier{
		TimeoutSec:      t.seconds("timeout_sec"),
		Env:             t.env("env"),
		User:            t.user("user"),
		EnvironmentMode: t.enum("environment_mode", ModeShared, ModeSeparate),
		Network:         d.network(t),
	}
	if e := t.sub("environment"); e != nil {
		env := d.environment(e)
		v.Environment = &env
		if v.EnvironmentMode == ModeShared {
			d.fail(t.key("environment_mode"), `is "shared", but [%s] gives the verifier an environment of its own: remove one of them`, e.path)
		}
	}
	for _, c := range t.subs("collect") {
		v.Collect = append(v.Collect, d.collect(c))
	}
	return v
}

func (d *decoder) collect(t *table) Collect {
	defer t.done()
	c := Collect{
		Command:    t.required("command"),
		Service:    t.str("service"),
		TimeoutSec: t.seconds("timeout_sec"),
		User:       t.user("user"),
	}
	if c.Service == "" {
		c.Service = ServiceMain
	}
	return c
}

func (d *decoder) healthcheck(t *table) *Healthcheck {
	if t == nil {
		return nil
	}
	defer t.done()
	h := &Healthcheck{
		Command:          t.required("command"),
		IntervalSec:      orNumber(t.atLeastZero("interval_sec"), 5),
		TimeoutSec:       orNumber(t.seconds("timeout_sec"), 30),
		StartPeriodSec:   orNumber(t.atLeastZero("start_period_sec"), 0),
		StartIntervalSec: orNumber(t.atLeastZero("start_interval_sec"), 5),
		Retries:          3,
	}
	if n := t.integer("retries", 1); n != nil {
		h.Retries = *n
	}
	return h
}

func (t *table) atLeastZero(k string) *float64 {
	f := t.number(k)
	if f != nil && *f < 0 {
		t.fail(t.key(k), "must not be negative")
		return nil
	}
	return f
}

func orNumber(v *float64, otherwise float64) float64 {
	if v == nil {
		return otherwise
	}
	return *v
}

func (d *decoder) steps(t *table) []Step {
	var steps []Step
	seen := map[string]bool{}
	for _, s := range t.subs("steps") {
		step := d.step(s)
		if step.Name != "" && seen[step.Name] {
			d.fail(s.key("name"), "is %q, as that of an earlier step", step.Name)
		}
		seen[step.Name] = true
		steps = append(steps, step)
	}
	return steps
}

func (d *decoder) step(t *table) Step {
	defer t.done()
	s := Step{
		Name:        t.required("name"),
		Agent:       d.agent(t.subOrEmpty("agent")),
		Verifier:    d.verifier(t.subOrEmpty("verifier")),
		MinReward:   d.minReward(t),
		Healthcheck: d.healthcheck(t.sub("healthcheck")),
		Artifacts:   d.artifacts(t),
	}
	if s.Name != "" && (s.Name == "." || s.Name == ".." || strings.ContainsAny(s.Name, "/\\\x00")) {
		d.fail(t.key("name"), "must be the name of a folder in %s/, not %q", StepsDir, s.Name)
	}
	return s
}

func (d *decoder) minReward(t *table) map[string]float64 {
	v := t.get("min_reward")
	gates, ok := v.(map[string]any)
	if v != nil && !ok {
		gates = map[string]any{"reward": v}
	}
	out := make(map[string]float64, len(gates))
	for k, g := range gates {
		at := t.key("min_reward")
		if ok {
			at = join(at, k)
		}
		if f, valid := d.toNumber(at, g); valid {
			out[k] = f
		}
	}
	if v == nil {
		return nil
	}
	return out
}

// artifacts reads a list of paths and tables.
func (d *decoder) artifacts(t *table) []Artifact {
	var out []Artifact
	for i, v := range t.list("artifacts") {
		at := index(t.key("artifacts"), i)
		a := Artifact{}
		if s, ok := v.(string); ok {
			a.Source = s
		} else if m, ok := v.(map[string]any); ok {
			e := &table{decoder: d, path: at, values: m}
			a = Artifact{
				Source: e.str("source"), Destination: e.str("destination"),
				Exclude: e.strs("exclude"), Service: e.str("service"),
			}
			e.done()
		} else {
			d.fail(at, "must be a path or a table with a source, not %s", describe(v))
			continue
		}
		if err := a.check(); err != nil {
			d.fail(at, "%v", err)
			continue
		}
		out = append(out, a)
	}
	return out
}

// check says why an artifact cannot be fetched as it is declared.
func (a Artifact) check() error {
	has := func(p, part string) bool { return slices.Contains(strings.Split(p, "/"), part) }
	switch {
	case strings.TrimSpace(a.Source) == "" || strings.Contains(a.Source, "\x00"):
		return fmt.Errorf("needs a source path")
	case has(a.Source, ".."):
		return fmt.Errorf("source %q must not contain \"..\"", a.Source)
	case a.Service != "" && a.Service != ServiceMain && !path.IsAbs(a.Source):
		return fmt.Errorf("source %q in the service %s must be an absolute path", a.Source, a.Service)
	case a.Destination == "":
		return nil
	case path.IsAbs(a.Destination), strings.ContainsAny(a.Destination, "\\\x00"), has(a.Destination, ".."):
		return fmt.Errorf("destination %q must be a relative path with forward slashes and without \"..\"", a.Destination)
	case path.Clean(a.Destination) == "manifest.json", path.Clean(a.Destination) == ".":
		return fmt.Errorf("destination %q is not free: choose another", a.Destination)
	}
	return nil
}
