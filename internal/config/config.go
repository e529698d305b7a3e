// Package config reads the settings of Oddish from the environment and from a .env file in the
// working directory.
//
// It only reads and checks: what a setting means is decided by the package that uses it, and what a
// flag overrides by package cli, which is its only caller. docs/configuration.md holds the table of all
// settings; it is generated from the comments of this file, and a test keeps it true.
package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"oddish/api"
)

// Config holds every setting. Obtain it from Load.
type Config struct {
	// Client

	// Folder for the database, artifacts, logs and sandboxes of this installation. Default: `$XDG_DATA_HOME/oddish`, else `~/.local/share/oddish`.
	DataDir string `env:"ODDISH_DATA_DIR"`
	// Address of the API server. A loopback address is where `oddish run` starts a server when none answers. Default: the address of the server that runs on the data directory, else `http://localhost:8000`.
	APIURL string `env:"ODDISH_API_URL"`
	// Key that the client sends and, in the server, the key that it demands. A server without one listens on loopback only.
	APIKey string `env:"ODDISH_API_KEY"`
	// Registry, a file, folder or address, in which `--dataset` is looked up where no other is named.
	Registry string `env:"ODDISH_REGISTRY" envDefault:"https://raw.githubusercontent.com/laude-institute/harbor/main/registry.json"`
	// How long `oddish run` and `status --watch` try to reach a server that went away before they give up. The trials go on meanwhile.
	ReconnectTimeout time.Duration `env:"ODDISH_RECONNECT_TIMEOUT" envDefault:"30s"`

	// Server

	// Address that `oddish api` listens on. Default: the host of `ODDISH_API_URL` where that is a loopback address, else `127.0.0.1`.
	APIHost string `env:"ODDISH_API_HOST"`
	// Port that `oddish api` listens on. Default: the port of `ODDISH_API_URL` where its host is a loopback address, else 8000.
	APIPort int `env:"ODDISH_API_PORT"`
	// Database: `sqlite:///path`, `postgresql://…`, `postgres://…` or `postgresql+asyncpg://…`. Wins over `DATABASE_URL`. Default: SQLite in the data directory.
	OddishDatabaseURL string `env:"ODDISH_DATABASE_URL"`
	// The same, for those who set it already.
	PlainDatabaseURL string `env:"DATABASE_URL"`
	// Trials that may run at once for each queue key (normally a model) without a limit of its own.
	DefaultModelConcurrency int `env:"ODDISH_DEFAULT_MODEL_CONCURRENCY" envDefault:"8"`
	// Limits of single queue keys as JSON, such as `{"openai/gpt-5.2": 4}`; 0 stops a key. `"openai/*"` bounds all keys of a provider together, on top of their own limits. The agents `nop` and `oracle` have the key `local` (default: twice the processors, at least 4).
	ModelConcurrencyOverrides Limits `env:"ODDISH_MODEL_CONCURRENCY_OVERRIDES"`
	// What all trials together may use of models on a day of UTC, such as `50usd`, `20mtok`, `5000calls`, or several of these with commas. When it is used up, running agents are stopped and only trials that call no model start until the day is over. All servers on one database need the same. Default: no budget.
	DailyBudget Budget `env:"ODDISH_DAILY_BUDGET"`
	// How long the worker of a running trial may be silent before the trial is run again elsewhere, at least `2s`. Workers send a heartbeat four times as often. A shorter one finds dead workers sooner and takes trials from live ones whose machine or network stalls.
	Lease time.Duration `env:"ODDISH_LEASE" envDefault:"60s"`
	// Sandbox of trials that ask for none: `builtin`, `docker` or `fake`. Default: `docker` where an engine answers, else `builtin`.
	DefaultEnvironment string `env:"ODDISH_DEFAULT_ENVIRONMENT"`
	// Connections to PostgreSQL that a server has open at most, besides one that waits for notifications: at least 2. All servers together must stay below the database's `max_connections` (100 where nothing is set).
	DBPoolSize int `env:"ODDISH_DB_POOL_SIZE" envDefault:"16"`
	// Folder for task archives and the files of trials. Several servers on one database share it. Default: `blobs` in the data directory.
	ArtifactsDir string `env:"ODDISH_ARTIFACTS_DIR"`
	// Key (32 bytes, hex or base64) that encrypts the secrets of waiting trials in the database. Several servers on one database share it. Default: the file `secret.key` in the data directory.
	SecretKey string `env:"ODDISH_SECRET_KEY"`
	// Largest task archive that the server takes, in MiB.
	MaxTaskUploadMB int64 `env:"ODDISH_MAX_TASK_UPLOAD_MB" envDefault:"512"`

	// Least level of isolation (0 to 3, docs/security.md) that trials of this server may have: submissions to weaker sandboxes are refused.
	MinIsolation int `env:"ODDISH_MIN_ISOLATION" envDefault:"0"`

	// Worker

	// Whether `oddish api` runs a worker inside. With `false`, start `oddish worker` beside it.
	AutoStartWorkers bool `env:"ODDISH_AUTO_START_WORKERS" envDefault:"true"`
	// Trials that a worker runs at once. Default: four times the processors, at least 8.
	WorkerSlots int `env:"ODDISH_WORKER_SLOTS"`
	// How long a worker that is told to stop lets its running trials go on before it hands them back to the queue.
	DrainTimeout time.Duration `env:"ODDISH_DRAIN_TIMEOUT" envDefault:"30s"`

	// File (YAML or JSON) with prices of models that come before the builtin ones, see docs/models.md. Servers, for its aliases, and workers read it when they start.
	PricesFile string `env:"ODDISH_PRICES_FILE"`
	// Folder with the programs of agents as archives, for a worker that cannot download them; see docs/agents.md. Others are made once and kept in `agents` in the data directory.
	AgentPackages string `env:"ODDISH_AGENT_PACKAGES"`

	// Variables of the worker's environment that tasks and submissions may read as `${NAME}`, with commas; `*` stands for the default: all but the keys and addresses of model providers and what is Oddish's own. A judge that needs a key: `*,OPENAI_API_KEY`.
	TaskEnv []string `env:"ODDISH_TASK_ENV"`
	// Whether compose files of tasks may use what reaches beyond their sandbox, such as privileged services, host networks and files of this machine; see docs/security.md. Only for a worker that runs no tasks but those whose authors are trusted with the machine.
	ComposeUnsafe bool `env:"ODDISH_COMPOSE_UNSAFE"`
	// Whether docker containers with the public network are on the engine's bridge, where they reach private addresses, the machine's own and those of cloud metadata, and nothing is logged, instead of behind a network stack of Oddish's; see docs/sandboxes.md.
	DockerBridge bool `env:"ODDISH_DOCKER_BRIDGE"`
	// Mirrors of image registries for `builtin` sandboxes, as REGISTRY=ADDRESS separated by commas, such as docker.io=https://mirror.example. A registry is asked where its mirror has not got the image.
	RegistryMirrors Mirrors `env:"ODDISH_REGISTRY_MIRRORS"`

	// What must be free on the disk on which sandboxes and images lie (the data directory's, and the docker engine's where that is on this machine) for another trial to start, such as `1gb`; 0: it is not looked at. With less, trials fail with `OSError` before anything starts, and are tried again.
	MinFreeDisk Size `env:"ODDISH_MIN_FREE_DISK" envDefault:"1gb"`

	// How much of images the worker keeps for each kind of sandbox, such as `50gb`; those beyond it that were not used for longest are removed, as by `oddish image prune`. 0: all are kept.
	KeepImages Size `env:"ODDISH_KEEP_IMAGES" envDefault:"0"`

	// File to which the sandbox `fake` appends each start and end of a sandbox and of a process in it, as lines of JSON. For tests; several workers may share it.
	FakeJournal string `env:"ODDISH_FAKE_JOURNAL"`

	// Logs

	// Least level that is logged: `debug`, `info`, `warn` or `error`.
	LogLevel slog.Level `env:"ODDISH_LOG_LEVEL" envDefault:"info"`
	// Form of the log: `text`, `json`, or `auto` (text on a terminal, JSON elsewhere).
	LogFormat string `env:"ODDISH_LOG_FORMAT" envDefault:"auto"`

	// Env is the environment with what .env adds to it, by name. Workers find the keys of model providers in it.
	Env map[string]string `env:"-"`
	// Warnings name lines of .env that could not be read.
	Warnings []string `env:"-"`
}

// Budget is what may be used of models; nil: no budget.
type Budget struct{ *api.Budget }

// UnmarshalText reads what api.ParseBudget does.
func (b *Budget) UnmarshalText(text []byte) error {
	parsed, err := api.ParseBudget(string(text))
	if err != nil {
		return err
	}
	b.Budget = &parsed
	return nil
}

// Limits are trials at once by queue key.
type Limits map[string]int

// UnmarshalText reads a JSON object of numbers, none negative.
func (l *Limits) UnmarshalText(text []byte) error {
	var m map[string]int
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf(`want a JSON object such as {"openai/gpt-5.2": 4}: %w`, err)
	}
	for k, n := range m {
		if n < 0 {
			return fmt.Errorf("the limit of %q is %d: want 0 or more", k, n)
		}
	}
	*l = m
	return nil
}

// Mirrors are addresses by the registries that they stand for.
type Mirrors map[string]string

// UnmarshalText reads REGISTRY=ADDRESS, separated by commas.
func (m *Mirrors) UnmarshalText(text []byte) error {
	all := Mirrors{}
	for entry := range strings.SplitSeq(string(text), ",") {
		registry, address, _ := strings.Cut(strings.TrimSpace(entry), "=")
		if registry == "" || address == "" {
			return fmt.Errorf("%q: want REGISTRY=ADDRESS, such as docker.io=https://mirror.example", entry)
		}
		all[registry] = address
	}
	*m = all
	return nil
}

// Error is a setting with a value that cannot be used.
type Error struct {
	Var string // name of the variable
	Msg string
}

func (e *Error) Error() string { return e.Var + ": " + e.Msg }

// DefaultAPIURL is the server's address when nothing says otherwise.
const DefaultAPIURL = "http://localhost:8000"

// ErrNoDataDir is returned by RequireDataDir when there is no home directory either.
var ErrNoDataDir = errors.New("there is no home directory to keep data in: set ODDISH_DATA_DIR to a folder")

// RequireDataDir returns the absolute data directory. It does not create it.
func (c Config) RequireDataDir() (string, error) {
	if c.DataDir == "" {
		return "", ErrNoDataDir
	}
	return filepath.Abs(c.DataDir)
}

// DatabaseURL is the database to use: what is configured, else SQLite in dataDir.
func (c Config) DatabaseURL(dataDir string) string {
	switch {
	case c.OddishDatabaseURL != "":
		return c.OddishDatabaseURL
	case c.PlainDatabaseURL != "":
		return c.PlainDatabaseURL
	}
	return "sqlite:///" + filepath.Join(dataDir, "oddish.db")
}

// Artifacts is the absolute folder of task archives and the files of trials. It need not exist.
func (c Config) Artifacts(dataDir string) (string, error) {
	if c.ArtifactsDir == "" {
		return filepath.Join(dataDir, "blobs"), nil
	}
	return filepath.Abs(c.ArtifactsDir)
}

// Slots is the number of trials that a worker runs at once.
func (c Config) Slots() int {
	if c.WorkerSlots > 0 {
		return c.WorkerSlots
	}
	return max(8, 4*runtime.NumCPU())
}

// Getenv looks up a variable of Env.
func (c Config) Getenv(name string) (string, bool) {
	v, ok := c.Env[name]
	return v, ok
}

// minLease leaves time for a heartbeat that comes late.
const minLease = 2 * time.Second

// check refuses values that have the right type and no meaning.
func (c Config) check() error {
	if c.APIURL != "" {
		if u, err := url.Parse(c.APIURL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return &Error{"ODDISH_API_URL", fmt.Sprintf("%q is no address: want one such as %s", c.APIURL, DefaultAPIURL)}
		}
	}
	if c.APIPort < 0 || c.APIPort > 65535 {
		return &Error{"ODDISH_API_PORT", fmt.Sprintf("%d is no port: want 1 to 65535", c.APIPort)}
	}
	if c.Lease < minLease {
		return &Error{"ODDISH_LEASE", fmt.Sprintf("%s is too short: want %s or more", c.Lease, minLease)}
	}
	switch c.LogFormat {
	case "auto", "text", "json":
	default:
		return &Error{"ODDISH_LOG_FORMAT", fmt.Sprintf("%q is unknown: want auto, text or json", c.LogFormat)}
	}
	for _, v := range []struct {
		name  string
		value int64
		least int64
	}{
		{"ODDISH_DEFAULT_MODEL_CONCURRENCY", int64(c.DefaultModelConcurrency), 1},
		{"ODDISH_MIN_ISOLATION", int64(c.MinIsolation), 0},
		{"ODDISH_WORKER_SLOTS", int64(c.WorkerSlots), 0},
		{"ODDISH_DB_POOL_SIZE", int64(c.DBPoolSize), 2},
		{"ODDISH_MAX_TASK_UPLOAD_MB", c.MaxTaskUploadMB, 1},
		{"ODDISH_DRAIN_TIMEOUT", int64(c.DrainTimeout), 0},
		{"ODDISH_RECONNECT_TIMEOUT", int64(c.ReconnectTimeout), 0},
	} {
		if v.value < v.least {
			return &Error{v.name, fmt.Sprintf("is too small: want %d or more", v.least)}
		}
	}
	if c.MinIsolation > 3 {
		return &Error{"ODDISH_MIN_ISOLATION", "is too large: want 0 to 3"}
	}
	return nil
}
