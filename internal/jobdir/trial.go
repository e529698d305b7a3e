package jobdir

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"oddish/api"
	"oddish/client"
	"oddish/internal/result"
)

const (
	// partial ends the name of a trial's folder while files are missing in it.
	partial = ".partial"
	// fileTries is how often a file is asked for whose transfer breaks off.
	fileTries = 4
	// maxDocument bounds config.json and result.json of a trial, in bytes.
	maxDocument = 64 << 20
)

// plain reports whether a name is one path element that hides nothing.
func plain(name string) bool {
	return filepath.IsLocal(name) && !strings.ContainsAny(name, `/\`) && !strings.HasPrefix(name, ".")
}

// trial brings the folder of a trial that has ended.
func (p *puller) trial(ctx context.Context, t api.JobTrial) error {
	list, err := p.source.TrialFiles(ctx, t.TrialID)
	if err != nil {
		return err
	}
	for _, f := range list.Files {
		if !fs.ValidPath(f.Path) || !filepath.IsLocal(filepath.FromSlash(f.Path)) {
			return fmt.Errorf("the server names a file %q, which is no path below the trial's folder", f.Path)
		}
	}
	if p.whole(t.Folder, list.Files) {
		p.done(0, true)
		return nil
	}
	tmp := "." + t.Folder + partial
	if err := p.root.MkdirAll(tmp, 0o755); err != nil {
		return err
	}
	total := int64(0)
	for _, f := range list.Files {
		n, err := p.file(ctx, t, tmp, f)
		if err != nil {
			return fmt.Errorf("file %s: %w", f.Path, err)
		}
		total += n
	}
	if !slices.ContainsFunc(list.Files, func(f api.File) bool { return f.Path == result.ResultFile }) {
		if err := p.lost(t, tmp); err != nil {
			return err
		}
	}
	if err := p.root.RemoveAll(t.Folder); err != nil {
		return err
	}
	if err := p.root.Rename(tmp, t.Folder); err != nil {
		return err
	}
	p.done(total, false)
	return nil
}

// whole reports whether a trial's folder has every file.
func (p *puller) whole(folder string, files []api.File) bool {
	for _, f := range files {
		if !p.there(path.Join(folder, f.Path), f) {
			return false
		}
	}
	_, err := p.root.Lstat(path.Join(folder, result.ResultFile))
	return err == nil
}

// there reports whether a file has been brought. Its name is given to it when all of it is there, so that one of another size was changed here.
func (p *puller) there(name string, f api.File) bool {
	info, err := p.root.Lstat(filepath.FromSlash(name))
	return err == nil && info.Mode().IsRegular() && (placed(f.Path) || info.Size() == f.Size)
}

// placed reports whether a file says where the directory is, and so is changed as it is pulled.
func placed(name string) bool { return name == result.ConfigFile || name == result.ResultFile }

// file brings one file, unless it is there; n is how many bytes came.
func (p *puller) file(ctx context.Context, t api.JobTrial, tmp string, f api.File) (n int64, err error) {
	name := path.Join(tmp, f.Path)
	if p.there(name, f) {
		return 0, nil
	}
	if err := p.root.MkdirAll(filepath.FromSlash(path.Dir(name)), 0o755); err != nil {
		return 0, err
	}
	for try := 1; ; try++ {
		n, err = p.fetch(ctx, t, name, f)
		if err == nil || try == fileTries || ctx.Err() != nil || !client.Unreachable(err) {
			return n, err
		}
	}
}

// fetch writes a file under another name and then renames it.
func (p *puller) fetch(ctx context.Context, t api.JobTrial, name string, f api.File) (int64, error) {
	body, err := p.source.TrialFile(ctx, t.TrialID, f.Path)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	var in io.Reader = body
	if placed(f.Path) {
		if in, err = p.here(body, f.Path, t.Folder); err != nil {
			return 0, err
		}
	}
	part := name + partial
	out, err := p.root.Create(filepath.FromSlash(part))
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		return n, err
	}
	return n, p.root.Rename(filepath.FromSlash(part), filepath.FromSlash(name))
}

// here gives a document with the place that it is written to. What is no JSON object stays as it is.
func (p *puller) here(r io.Reader, name, folder string) (io.Reader, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxDocument {
		return nil, fmt.Errorf("it has more than %d bytes", maxDocument)
	}
	var doc map[string]any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber() // a number stays as it was written
	if dec.Decode(&doc) != nil || doc == nil {
		return bytes.NewReader(data), nil
	}
	p.place(name, doc, folder)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "    ")
	return &b, enc.Encode(doc)
}

// lost writes result.json, and config.json, of an attempt that could not: its worker is gone. Harbor's programs take a folder without them for no trial.
func (p *puller) lost(t api.JobTrial, tmp string) error {
	row, known := p.rows[t.TrialID]
	if !known {
		return errors.New("it appeared while the experiment was pulled: pull it again")
	}
	trial := fromRow(row, t.Folder)
	config, err := trial.Config.Compact()
	if err != nil {
		return err
	}
	for name, doc := range map[string]any{result.ConfigFile: config, result.ResultFile: trial} {
		data, err := json.Marshal(doc)
		if err != nil {
			return err
		}
		placed, err := p.here(bytes.NewReader(data), name, t.Folder)
		if err != nil {
			return err
		}
		if data, err = io.ReadAll(placed); err != nil {
			return err
		}
		if err := result.WriteFile(filepath.Join(p.dir, tmp, name), data); err != nil {
			return err
		}
	}
	return nil
}
