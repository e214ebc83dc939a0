package compare

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
)

//go:embed page.html
var pageText string

// style is all of the page's; its hash is the only one that the page allows.
const style = `body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem}
h1{font-size:1.3rem}
.said{border-left:.3rem solid #555;padding:.4rem .8rem}
table{border-collapse:collapse;margin:1.5rem 0;width:100%}
caption{font-weight:600;text-align:left}
td,th{border-bottom:1px solid #bbb;font-variant-numeric:tabular-nums;overflow-wrap:anywhere;padding:.2rem .6rem;text-align:left;vertical-align:top}
td{font-family:ui-monospace,monospace;font-size:.85rem}
.added td:nth-child(2)::before{content:"+ "}
.removed td:nth-child(2)::before{content:"- "}
.same td{color:#555}
`

// A page is what the template shows.
type page struct {
	*Report
	Title     string
	Style     template.CSS
	StyleHash template.HTMLAttr
	Files     []row
	Values    []table
}

type row struct {
	Key, A, B string
	Same      bool
}

type table struct {
	Name string
	List []Value
}

// Page writes the report as one page of HTML that needs nothing else.
func (r *Report) Page(w io.Writer, title string) error {
	t, err := template.New("page").Parse(pageText)
	if err != nil {
		return err
	}
	hash := sha256.Sum256([]byte(style))
	return t.Execute(w, page{
		Report: r, Title: title, Style: style,
		StyleHash: template.HTMLAttr("sha256-" + base64.StdEncoding.EncodeToString(hash[:])),
		Files:     r.files(),
		Values:    []table{{"Header", r.Header}, {"Modinfo", r.Modinfo}, {"Notes", r.Notes}, {"Compilers", r.Compilers}},
	})
}

// files has both files beside each other.
func (r *Report) files() []row {
	line := func(key, a, b string) row { return row{key, a, b, a == b} }
	rows := []row{line("size", fmt.Sprint(r.A.Size), fmt.Sprint(r.B.Size)), line("file", string(r.A.File), string(r.B.File))}
	if a, b := r.A.Digests, r.B.Digests; a != nil && b != nil {
		rows = append(rows,
			line("without signature", string(a.WithoutSignature), string(b.WithoutSignature)),
			line("without debug", string(a.WithoutDebug), string(b.WithoutDebug)),
			line("code", string(a.Code), string(b.Code)))
	}
	rows = append(rows, line("build-id", r.A.BuildID, r.B.BuildID))
	if r.A.Problem != "" || r.B.Problem != "" {
		rows = append(rows, line("problem", r.A.Problem, r.B.Problem))
	}
	return rows
}
