package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"oddish/api"
)

const (
	experimentsPerPage = 50
	trialsPerPage      = 500
	// rowsAtOnce is how many rows the script may ask for in one request.
	rowsAtOnce = 200
)

// pager says which part of a list a page shows.
type pager struct {
	Path             string
	First, Last      int // 1 is the first of the list; Last is 0 when the page is empty
	Total            int // 0: not known
	Previous, Next   int // offsets
	HasPrevious, End bool
}

func newPager(path string, offset, perPage, shown int, more bool) pager {
	p := pager{Path: path, First: offset + 1, Last: offset + shown, HasPrevious: offset > 0, End: !more}
	p.Previous, p.Next = max(offset-perPage, 0), offset+perPage
	if shown == 0 {
		p.First, p.Last = 0, 0
	}
	return p
}

// Needed reports whether the list has more than one page.
func (p pager) Needed() bool { return p.HasPrevious || !p.End }

func offsetOf(r *http.Request) (int, error) {
	text := r.URL.Query().Get("offset")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, badRequestf("offset must be a number from 0")
	}
	return n, nil
}

type homeData struct {
	Experiments []api.Experiment
	Pager       pager
	Live        bool
}

func (p *Pages) home(r *http.Request) (view, error) {
	offset, err := offsetOf(r)
	if err != nil {
		return view{}, err
	}
	list, err := p.source.Experiments(r.Context(), experimentsPerPage+1, offset)
	if err != nil {
		return view{}, err
	}
	more := len(list) > experimentsPerPage
	if more {
		list = list[:experimentsPerPage]
	}
	d := homeData{Experiments: list, Pager: newPager("/", offset, experimentsPerPage, len(list), more)}
	for _, e := range list {
		d.Live = d.Live || live(e)
	}
	return view{"home.html", d}, nil
}

type experimentData struct {
	Experiment api.Experiment
	LastEvent  int64
	Trials     []api.Trial
	Pager      pager
}

// HasModels reports whether the column of models has anything to show.
func (d experimentData) HasModels() bool {
	return slices.ContainsFunc(d.Trials, func(t api.Trial) bool { return modelWord(t.Model) != "" })
}

// HasUsage reports whether the columns of tokens and cost have.
func (d experimentData) HasUsage() bool {
	return d.Experiment.Usage != nil || slices.ContainsFunc(d.Trials, func(t api.Trial) bool { return tokens(usageOf(t)) != "" })
}

func (p *Pages) experiment(r *http.Request) (view, error) {
	offset, err := offsetOf(r)
	if err != nil {
		return view{}, err
	}
	e, last, err := p.source.Experiment(r.Context(), r.PathValue("id"))
	if err != nil {
		return view{}, err
	}
	trials, err := p.source.Trials(r.Context(), e.ID, trialsPerPage+1, offset)
	if err != nil {
		return view{}, err
	}
	more := len(trials) > trialsPerPage
	if more {
		trials = trials[:trialsPerPage]
	}
	pg := newPager("/e/"+url.PathEscape(e.ID), offset, trialsPerPage, len(trials), more)
	pg.Total = e.Total
	return view{"experiment.html", experimentData{Experiment: e, LastEvent: last, Trials: trials, Pager: pg}}, nil
}

// rows answers the head of an experiment and the rows of some of its trials, for the script to put
// in place of the old ones.
func (p *Pages) rows(r *http.Request) (view, error) {
	ids := r.URL.Query()["trial"]
	if len(ids) > rowsAtOnce {
		return view{}, badRequestf("at most %d rows at once", rowsAtOnce)
	}
	e, _, err := p.source.Experiment(r.Context(), r.PathValue("id"))
	if err != nil {
		return view{}, err
	}
	trials, err := p.source.TrialsByID(r.Context(), ids)
	if err != nil {
		return view{}, err
	}
	return view{"rows.html", experimentData{Experiment: e, Trials: trials}}, nil
}
