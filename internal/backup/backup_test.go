package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"oddish/internal/blob"
	"oddish/internal/store"
	"oddish/internal/store/storetest"
)

// install is a data directory with its database and blobs.
type install struct {
	dir   string
	db    *store.DB
	blobs *blob.Local
}

// newInstall makes one on SQLite, also where other tests use PostgreSQL, with n tasks.
func newInstall(t *testing.T, n int) *install {
	t.Helper()
	i := &install{dir: t.TempDir()}
	i.db = storetest.OpenURL(t, "sqlite:///"+filepath.Join(i.dir, databaseName))
	i.open(t)
	writeFile(t, filepath.Join(i.dir, keyName), "the key\n")
	for k := range n {
		i.addTask(t, fmt.Sprintf("t%d", k))
	}
	return i
}

func (i *install) open(t *testing.T) {
	t.Helper()
	var err error
	if i.blobs, err = blob.NewLocal(filepath.Join(i.dir, blobsName)); err != nil {
		t.Fatal(err)
	}
}

// addTask stores an archive, then the rows that name it, as the server does.
func (i *install) addTask(t *testing.T, id string) {
	t.Helper()
	key := "tasks/" + id + "/v1.tar.gz"
	if _, err := i.blobs.Put(t.Context(), key, strings.NewReader("archive of "+id)); err != nil {
		t.Error(err)
	}
	err := i.db.Tx(t.Context(), func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(t.Context(), "INSERT INTO tasks (id, name, created_at) VALUES ($1, $1, 1)", id); err != nil {
			return err
		}
		_, err := tx.ExecContext(t.Context(), "INSERT INTO task_versions (task_id, version, content_hash, archive_key, created_at) VALUES ($1, 1, '', $2, 1)", id, key)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func (i *install) source() Source {
	return Source{DB: i.db, Program: "1.2.3", KeyFile: filepath.Join(i.dir, keyName), Blobs: i.blobs}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, db *store.DB, table string) (n int) {
	t.Helper()
	if err := db.Read().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// files lists what is below dir, but not what SQLite has beside a database.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.Contains(path, ".db-") && !strings.HasSuffix(path, ".migrate") {
			rel, _ := filepath.Rel(dir, path)
			names = append(names, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestABackupBringsEverythingBack(t *testing.T) {
	t.Parallel()
	from := newInstall(t, 3)
	for _, name := range []string{"b.tar", "b.tar.gz", "b.tgz"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), name)
			s, err := Write(t.Context(), file, from.source())
			if err != nil {
				t.Fatal(err)
			}
			if s.Blobs != 3 || !s.Key || s.Bytes == 0 || s.Schema == 0 || len(s.Missing) != 0 || len(s.LeftOut) != 0 {
				t.Errorf("the summary is %+v", s)
			}
			if left := files(t, filepath.Dir(file)); len(left) != 1 {
				t.Errorf("files are %q", left)
			}
			dir := t.TempDir()
			m, err := Restore(t.Context(), file, Target{Dir: dir, Database: filepath.Join(dir, databaseName)})
			if err != nil || m != s.Manifest {
				t.Fatalf("%+v, %v", m, err)
			}
			want := []string{"blobs/tasks/t0/v1.tar.gz", "blobs/tasks/t1/v1.tar.gz", "blobs/tasks/t2/v1.tar.gz", "oddish.db", "secret.key"}
			if got := files(t, dir); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("files are %q", got)
			}
			for name, mode := range map[string]os.FileMode{databaseName: 0o600, keyName: 0o600, blobsName: 0o700} {
				if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
					t.Errorf("%s: %v, %v", name, info.Mode(), err)
				}
			}
			db := storetest.OpenURL(t, "sqlite:///"+filepath.Join(dir, databaseName))
			if n := count(t, db, "tasks"); n != 3 {
				t.Errorf("%d tasks", n)
			}
		})
	}
}

func TestABackupUnderWriteLoadHasEveryBlobThatARowNames(t *testing.T) {
	t.Parallel()
	from := newInstall(t, 5)
	stop, going := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var group sync.WaitGroup
	group.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				from.addTask(t, fmt.Sprintf("w%d", i))
				once.Do(func() { close(going) })
			}
		}
	})
	<-going
	file := filepath.Join(t.TempDir(), "b.tar")
	for range 2 { // each replaces the one before
		s, err := Write(t.Context(), file, from.source())
		if err != nil || len(s.Missing) > 0 {
			t.Fatalf("missing %q, %v", s.Missing, err)
		}
	}
	close(stop)
	group.Wait()
	dir := t.TempDir()
	if _, err := Restore(t.Context(), file, Target{Dir: dir, Database: filepath.Join(dir, databaseName)}); err != nil {
		t.Fatal(err)
	}
	db := storetest.OpenURL(t, "sqlite:///"+filepath.Join(dir, databaseName))
	keys, err := db.ArchiveKeys(t.Context())
	if err != nil || len(keys) <= 5 || len(keys) != count(t, db, "tasks") {
		t.Fatalf("%d archives of %d tasks, %v", len(keys), count(t, db, "tasks"), err)
	}
	for _, key := range keys {
		if _, err := os.Stat(filepath.Join(dir, blobsName, key)); err != nil {
			t.Error(err)
		}
	}
}

func TestARestoreReplacesWhatIsThere(t *testing.T) {
	t.Parallel()
	from, to := newInstall(t, 1), newInstall(t, 4)
	writeFile(t, filepath.Join(to.dir, keyName), "another key\n")
	writeFile(t, filepath.Join(to.dir, "server.log"), "stays\n")
	file := filepath.Join(t.TempDir(), "b.tar.gz")
	if _, err := Write(t.Context(), file, from.source()); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), file, Target{Dir: to.dir, Database: filepath.Join(to.dir, databaseName)}); err != nil {
		t.Fatal(err)
	}
	want := []string{"blobs/tasks/t0/v1.tar.gz", "oddish.db", "secret.key", "server.log"}
	if got := files(t, to.dir); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("files are %q", got)
	}
	if key, err := os.ReadFile(filepath.Join(to.dir, keyName)); err != nil || string(key) != "the key\n" {
		t.Errorf("the key is %q, %v", key, err)
	}
	if n := count(t, storetest.OpenURL(t, "sqlite:///"+filepath.Join(to.dir, databaseName)), "tasks"); n != 1 {
		t.Errorf("%d tasks", n)
	}
}

func TestABackupOfTheDatabaseAloneLeavesTheRest(t *testing.T) {
	t.Parallel()
	from, to := newInstall(t, 1), newInstall(t, 4)
	file := filepath.Join(t.TempDir(), "b.tar")
	src := from.source()
	src.DatabaseOnly = true
	if s, err := Write(t.Context(), file, src); err != nil || s.Artifacts || s.Key || s.Blobs != 0 || len(s.Missing) != 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	elsewhere := filepath.Join(t.TempDir(), "other.db") // and the database has another name and folder
	if _, err := Restore(t.Context(), file, Target{Dir: to.dir, Database: elsewhere}); err != nil {
		t.Fatal(err)
	}
	if got := files(t, to.dir); len(got) != 6 {
		t.Errorf("files are %q", got)
	}
	if got := files(t, filepath.Dir(elsewhere)); len(got) != 1 {
		t.Errorf("files are %q", got)
	}
	if n := count(t, storetest.OpenURL(t, "sqlite:///"+elsewhere), "tasks"); n != 1 {
		t.Errorf("%d tasks", n)
	}
}

// archive makes a tar of members, which are pairs of name and content.
func archive(t *testing.T, members ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(members); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: members[i], Size: int64(len(members[i+1])), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, members[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "made.tar")
	writeFile(t, path, b.String())
	return path
}

func manifest(t *testing.T, m Manifest) string {
	t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWhatCannotBeRestoredIsRefusedAndNothingChanges(t *testing.T) {
	t.Parallel()
	from := newInstall(t, 5)
	good := filepath.Join(t.TempDir(), "good.tar")
	s, err := Write(t.Context(), good, from.source())
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	snapshot := filepath.Join(t.TempDir(), "x.db")
	if err := from.db.Snapshot(t.Context(), snapshot); err != nil {
		t.Fatal(err)
	}
	database, err := os.ReadFile(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(database)
	for i := 8192; i < len(damaged); i += 4096 {
		copy(damaged[i:], "nonsense nonsense nonsense")
	}
	cut := filepath.Join(t.TempDir(), "cut.tar")
	writeFile(t, cut, string(whole[:len(whole)/2]))
	text := filepath.Join(t.TempDir(), "text")
	writeFile(t, text, "not an archive")
	newer, format2, wrong := s.Manifest, s.Manifest, s.Manifest
	newer.Schema, format2.Format, wrong.Schema = 4711, 2, 0
	for _, tc := range []struct{ name, path, want string }{
		{"no such file", filepath.Join(t.TempDir(), "none"), "no such file"},
		{"a text", text, "is not a backup"},
		{"another archive", archive(t, "a.txt", "hello"), "is not a backup"},
		{"a manifest that is none", archive(t, manifestName, "hello"), "is not a backup"},
		{"a newer schema", archive(t, manifestName, manifest(t, newer), databaseName, string(database)), "use a newer oddish (it was made by 1.2.3)"},
		{"a newer format", archive(t, manifestName, manifest(t, format2), databaseName, string(database)), "has format 2"},
		{"a manifest of another database", archive(t, manifestName, manifest(t, wrong), databaseName, string(database)), "its manifest says 0"},
		{"no database", archive(t, manifestName, manifest(t, s.Manifest)), "oddish.db is not in it"},
		{"a damaged database", archive(t, manifestName, manifest(t, s.Manifest), databaseName, string(damaged)), "malformed"},
		{"a name that leads out", archive(t, manifestName, manifest(t, s.Manifest), databaseName, string(database), "blobs/../../x", ""), `".."`},
		{"a truncated file", cut, "unexpected EOF"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			to := newInstall(t, 2)
			before := files(t, to.dir)
			_, err := Restore(t.Context(), tc.path, Target{Dir: to.dir, Database: filepath.Join(to.dir, databaseName)})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the error is %v, want %q", err, tc.want)
			}
			if after := files(t, to.dir); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("files are %q", after)
			}
			if n := count(t, to.db, "tasks"); n != 2 {
				t.Errorf("%d tasks", n)
			}
		})
	}
}

func TestAnExchangeThatFailsIsTakenBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		writeFile(t, filepath.Join(dir, name), "old")
		if err := os.MkdirAll(filepath.Join(dir, NewFolder), 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, NewFolder, name), "new")
	}
	before := files(t, dir)
	var e exchange
	e.add(dir, "a")
	e.add(dir, "b")
	e.add(dir, "no/such/folder\x00") // no file can have this name
	if err := e.run(); err == nil {
		t.Error("no error")
	}
	if err := e.undo(); err != nil {
		t.Error(err)
	}
	if after := files(t, dir); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("files are %q", after)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "a")); err != nil || string(got) != "old" {
		t.Errorf("a is %q, %v", got, err)
	}
}

func TestAnInterruptedRestoreIsNotForgotten(t *testing.T) {
	t.Parallel()
	to := newInstall(t, 1)
	file := filepath.Join(t.TempDir(), "b.tar")
	if _, err := Write(t.Context(), file, to.source()); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(to.dir, OldFolder), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Restore(t.Context(), file, Target{Dir: to.dir, Database: filepath.Join(to.dir, databaseName)})
	if err == nil || !strings.Contains(err.Error(), "a restore was interrupted") {
		t.Errorf("the error is %v", err)
	}
}

func TestABackupThatFailsLeavesTheOldOne(t *testing.T) {
	t.Parallel()
	from := newInstall(t, 1)
	dir := t.TempDir()
	file := filepath.Join(dir, "b.tar")
	writeFile(t, file, "the old one")
	ctx, cancel := context.WithCancel(t.Context())
	src := from.source()
	src.Blobs = cancelling{from.blobs, cancel}
	if _, err := Write(ctx, file, src); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "the old one" || len(files(t, dir)) != 1 {
		t.Errorf("%q, %v, %q", got, err, files(t, dir))
	}
	for _, path := range []string{dir, filepath.Join(dir, "none", "b.tar")} {
		if _, err := Write(t.Context(), path, from.source()); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: the error is %v", path, err)
		}
	}
}

// cancelling ends the backup when it comes to the blobs.
type cancelling struct {
	blob.Store
	cancel context.CancelFunc
}

func (c cancelling) List(ctx context.Context, prefix string) ([]blob.Info, error) {
	infos, err := c.Store.List(ctx, prefix)
	c.cancel()
	return infos, err
}

func TestFilesThatChangeMeanwhileDoNotSpoilABackup(t *testing.T) {
	t.Parallel()
	from := newInstall(t, 2)
	for key, text := range map[string]string{"jobs/grows": "1234", "jobs/shrinks": "1234", "jobs/goes": "1234", "jobs/odd\nname": "x"} {
		if _, err := from.blobs.Put(t.Context(), key, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	src := from.source()
	src.Blobs = restless{from.blobs}
	if err := from.blobs.Delete(t.Context(), "tasks/t1"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "b.tar")
	s, err := Write(t.Context(), file, src)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(s.Missing) != "[tasks/t1/v1.tar.gz]" || fmt.Sprintf("%q", s.LeftOut) != `["jobs/odd\nname"]` || s.Blobs != 3 {
		t.Errorf("the summary is %+v", s)
	}
	dir := t.TempDir()
	if _, err := Restore(t.Context(), file, Target{Dir: dir, Database: filepath.Join(dir, databaseName)}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"grows": "1234", "shrinks": "12\x00\x00"} {
		if got, err := os.ReadFile(filepath.Join(dir, blobsName, "jobs", name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
}

// restless changes blobs once they are open or listed.
type restless struct{ blob.Store }

func (r restless) Open(ctx context.Context, key string) (io.ReadSeekCloser, blob.Info, error) {
	if key == "jobs/goes" {
		if err := r.Delete(ctx, key); err != nil {
			return nil, blob.Info{}, err
		}
	}
	f, info, err := r.Store.Open(ctx, key)
	if err != nil {
		return nil, info, err
	}
	switch key {
	case "jobs/grows":
		err = r.WriteAt(ctx, key, 4, strings.NewReader("5678"))
	case "jobs/shrinks":
		err = r.WriteAt(ctx, key, 2, strings.NewReader(""))
	}
	return f, info, err
}

func TestABackupGoesFromOneEngineToTheOther(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		t.Skip(storetest.PostgresEnv + " is not set")
	}
	lite, dir := newInstall(t, 30), t.TempDir()
	first, second := filepath.Join(dir, "1.tar"), filepath.Join(dir, "2.tar.gz")
	if _, err := Write(t.Context(), first, lite.source()); err != nil {
		t.Fatal(err)
	}
	big := &install{dir: t.TempDir(), db: storetest.Open(t)}
	big.open(t)
	big.addTask(t, "replaced")
	if _, err := Restore(t.Context(), first, Target{Dir: big.dir, Postgres: big.db}); err != nil {
		t.Fatal(err)
	}
	if n := count(t, big.db, "tasks"); n != 30 {
		t.Errorf("%d tasks on PostgreSQL", n)
	}
	if got := files(t, big.dir); len(got) != 31 {
		t.Errorf("files are %q", got)
	}
	big.open(t) // the folder is another one
	if s, err := Write(t.Context(), second, big.source()); err != nil || s.Blobs != 30 {
		t.Fatalf("%+v, %v", s, err)
	}
	back := t.TempDir()
	if _, err := Restore(t.Context(), second, Target{Dir: back, Database: filepath.Join(back, databaseName)}); err != nil {
		t.Fatal(err)
	}
	if n := count(t, storetest.OpenURL(t, "sqlite:///"+filepath.Join(back, databaseName)), "tasks"); n != 30 {
		t.Errorf("%d tasks on SQLite", n)
	}
}

func TestARestoreIntoPostgresThatFailsLeavesTheFiles(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		t.Skip(storetest.PostgresEnv + " is not set")
	}
	from := newInstall(t, 3)
	file := filepath.Join(t.TempDir(), "b.tar")
	if _, err := Write(t.Context(), file, from.source()); err != nil {
		t.Fatal(err)
	}
	to := &install{dir: t.TempDir(), db: storetest.Open(t)}
	to.open(t)
	to.addTask(t, "stays")
	err := to.db.Tx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), "CREATE UNIQUE INDEX only_one ON tasks (created_at)")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	before := files(t, to.dir)
	if _, err := Restore(t.Context(), file, Target{Dir: to.dir, Postgres: to.db}); err == nil || !strings.Contains(err.Error(), "table tasks") {
		t.Errorf("the error is %v", err)
	}
	if after := files(t, to.dir); fmt.Sprint(after) != fmt.Sprint(before) || count(t, to.db, "tasks") != 1 {
		t.Errorf("files are %q, tasks %d", after, count(t, to.db, "tasks"))
	}
}
