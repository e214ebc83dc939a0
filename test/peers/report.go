package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// A report is what was measured, told twice: each figure as it comes, in the
// form of `go test -bench`, for a program; a table in the end, for people.
type report struct {
	figures io.Writer
	rows    []row
	samples map[string][]sample // by row and label
	missing map[string]string   // why there are none
	extra   []string            // lines below the table
}

func newReport(figures io.Writer) *report {
	return &report{figures: figures, samples: map[string][]sample{}, missing: map[string]string{}}
}

func place(row, label string) string { return row + "/" + label }

func (p *report) add(r row, label string, s sample) {
	p.samples[place(r.name, label)] = append(p.samples[place(r.name, label)], s)
	fmt.Fprintf(p.figures, "BenchmarkFront/%s/%s 1 %.6g cpu-µs/req %.6g req/s\n", r.name, label, s.cpu, s.rate)
}

// state reports a figure that is no sample of a row.
func (p *report) state(name, label string, value float64, unit string) {
	fmt.Fprintf(p.figures, "BenchmarkFront/%s/%s 1 %.6g %s\n", name, label, value, unit)
	p.extra = append(p.extra, fmt.Sprintf("%s, %s: %.4g %s", name, label, value, unit))
}

// median returns the middle of what a sample is asked for.
func (p *report) median(row, label string, of func(sample) float64) (float64, bool) {
	var all []float64
	for _, s := range p.samples[place(row, label)] {
		all = append(all, of(s))
	}
	slices.Sort(all)
	if len(all) == 0 {
		return 0, false
	}
	return all[len(all)/2], true
}

func cpu(s sample) float64  { return s.cpu }
func rate(s sample) float64 { return s.rate }

// print writes the table: per row and label, processor time a request and
// requests a second, medians.
func (p *report) print(w io.Writer, labels []string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "row (clients)\t%s\n", strings.Join(labels, "\t"))
	for _, r := range p.rows {
		cells := []string{fmt.Sprintf("%s (%d)", r.name, r.clients)}
		if r.ratio {
			cells = append(cells, p.cell(r, "few")+" among few", p.cell(r, "many")+" among many")
		} else {
			for _, label := range labels {
				cells = append(cells, p.cell(r, label))
			}
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	_ = t.Flush() // standard error: there is nowhere to say it
	for _, line := range p.extra {
		fmt.Fprintln(w, line)
	}
	for _, at := range slices.Sorted(maps.Keys(p.missing)) {
		fmt.Fprintf(w, "not measured: %s: %s\n", at, p.missing[at])
	}
}

func (p *report) cell(r row, label string) string {
	c, ok := p.median(r.name, label, cpu)
	n, _ := p.median(r.name, label, rate)
	switch {
	case !ok:
		return "-"
	case r.bytes > 0:
		return fmt.Sprintf("%s %.0f MB/s", micros(c), n*float64(r.bytes)/1e6)
	}
	return fmt.Sprintf("%s %.0f/s", micros(c), n)
}

func micros(v float64) string {
	if v >= 10_000 {
		return fmt.Sprintf("%.4g ms", v/1000)
	}
	return fmt.Sprintf("%.4g µs", v)
}
