package arch

import (
	"bytes"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// papers are the texts of a module, by path relative to its root.
type papers map[string][]byte

// readPapers reads every file that holds text.
func readPapers(t *testing.T, root string) papers {
	t.Helper()
	p := papers{}
	err := walk(root, true, func(name string) error {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err == nil && !bytes.ContainsRune(b[:min(len(b), 8000)], 0) {
			p[name] = b
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p papers) markdown() []string {
	var names []string
	for name := range p {
		if strings.HasSuffix(name, ".md") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// has reports whether name is a text or a directory that holds one.
func (p papers) has(name string) bool {
	if _, ok := p[name]; ok || name == "." {
		return true
	}
	for other := range p {
		if strings.HasPrefix(other, name+"/") {
			return true
		}
	}
	return false
}

var (
	mdLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	mdFence   = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	mdHeading = regexp.MustCompile(`(?m)^#{1,6} +(.+?) *$`)
	notInSlug = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	docsPage  = regexp.MustCompile(`\bdocs/[A-Za-z0-9_./-]*\.(?:md|json)\b`)
	makeWord  = regexp.MustCompile("(?m)(?:`|^ *\\$? ?)make ([a-z][a-z0-9-]*)")
	target    = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`)
)

// deadLinks complains of links between pages that lead nowhere.
func deadLinks(p papers) []string {
	var bad []string
	for _, name := range p.markdown() {
		for _, m := range mdLink.FindAllSubmatch(mdFence.ReplaceAll(p[name], nil), -1) {
			if why := p.follow(name, string(m[1])); why != "" {
				bad = append(bad, fmt.Sprintf("%s: link %s: %s", name, m[1], why))
			}
		}
	}
	return bad
}

func (p papers) follow(from, link string) (why string) {
	u, err := url.Parse(link)
	switch {
	case err != nil:
		return err.Error()
	case u.Scheme == "https" || u.Scheme == "mailto":
		return ""
	case u.Scheme != "" || u.Host != "" || strings.HasPrefix(u.Path, "/"):
		return "neither https nor a path from this page"
	}
	page := from
	if u.Path != "" {
		page = path.Join(path.Dir(from), u.Path)
	}
	if !p.has(page) {
		return "no such file"
	}
	if u.Fragment != "" && !slices.Contains(anchors(p[page]), u.Fragment) {
		return "no such heading"
	}
	return ""
}

// anchors returns the fragments a page's headings can be reached by.
func anchors(page []byte) []string {
	var all []string
	for _, m := range mdHeading.FindAllSubmatch(mdFence.ReplaceAll(page, nil), -1) {
		slug := notInSlug.ReplaceAllString(strings.ToLower(string(m[1])), "")
		all = append(all, strings.ReplaceAll(slug, " ", "-"))
	}
	return all
}

// missingPages complains of pages that comments or texts name and nobody wrote.
func missingPages(h *tree, p papers) []string {
	var bad []string
	for _, dir := range slices.Sorted(maps.Keys(h.rooms)) {
		for _, f := range h.rooms[dir].files {
			for _, c := range comments(f) {
				for _, page := range docsPage.FindAllString(c, -1) {
					if !p.has(page) {
						bad = append(bad, fmt.Sprintf("%s names %s, which does not exist", f.path, page))
					}
				}
			}
		}
	}
	return bad
}

func comments(f *file) []string {
	var all []string
	for _, g := range f.ast.Comments {
		all = append(all, g.Text())
	}
	return all
}

// missingTargets complains of make commands in pages that the Makefile lacks.
func missingTargets(p papers) []string {
	var targets []string
	for _, m := range target.FindAllSubmatch(p["Makefile"], -1) {
		targets = append(targets, string(m[1]))
	}
	var bad []string
	for _, name := range p.markdown() {
		for _, m := range makeWord.FindAllSubmatch(p[name], -1) {
			if !slices.Contains(targets, string(m[1])) {
				bad = append(bad, fmt.Sprintf("%s tells to run make %s, which the Makefile does not have", name, m[1]))
			}
		}
	}
	return bad
}

// machinePath finds paths of the machines this was written on. The project
// speaks of itself alone.
var machinePath = regexp.MustCompile(`(?m)(?:^|[^A-Za-z0-9_.])(/(?:work|farm|root|home)/|/tmp/(?:plan|bash_jobs))`)

// foreign complains of places that belong to a machine, not to the project:
// its paths, and the proxies it is told to use.
func foreign(p papers, proxies []string) []string {
	var bad []string
	complain := func(name string, text []byte, at int, what string) {
		bad = append(bad, fmt.Sprintf("%s:%d names %q, a place of one machine", name, 1+bytes.Count(text[:at], []byte("\n")), what))
	}
	for name, text := range p {
		if m := machinePath.FindSubmatchIndex(text); m != nil {
			complain(name, text, m[2], string(text[m[2]:m[3]]))
		}
		for _, host := range proxies {
			if i := bytes.Index(text, []byte(host)); i >= 0 {
				complain(name, text, i, host)
			}
		}
	}
	return bad
}

var mergeMark = regexp.MustCompile(`(?m)^(<{7}|>{7})( |$)`)

// halfMerged complains of texts in which a merge left both sides standing:
// nested modules are built later than this runs.
func halfMerged(p papers) []string {
	var bad []string
	for name, text := range p {
		if m := mergeMark.FindIndex(text); m != nil {
			bad = append(bad, fmt.Sprintf("%s:%d has the marks of a merge", name, 1+bytes.Count(text[:m[0]], []byte("\n"))))
		}
	}
	return bad
}

// proxies returns the hosts through which this machine reaches others.
func proxies() []string {
	var hosts []string
	for _, env := range []string{"GOPROXY", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		for _, s := range strings.FieldsFunc(os.Getenv(env), func(r rune) bool { return r == ',' || r == '|' }) {
			u, err := url.Parse(s)
			if err == nil && u.Hostname() != "" && !slices.Contains([]string{"proxy.golang.org", "localhost", "127.0.0.1", "::1"}, u.Hostname()) {
				hosts = append(hosts, u.Hostname())
			}
		}
	}
	return hosts
}

func TestLinksLeadSomewhere(t *testing.T) {
	none(t, deadLinks(readPapers(t, house(t).root)))
}

func TestNamedPagesExist(t *testing.T) {
	h := house(t)
	none(t, missingPages(h, readPapers(t, h.root)))
}

func TestNamedTargetsExist(t *testing.T) {
	none(t, missingTargets(readPapers(t, house(t).root)))
}

func TestNoMachineIsNamed(t *testing.T) {
	none(t, foreign(readPapers(t, house(t).root), proxies()))
}

func TestMergesAreWhole(t *testing.T) {
	none(t, halfMerged(readPapers(t, house(t).root)))
}

func TestDocsChecksSee(t *testing.T) {
	h := crooked(t, map[string]string{
		"Makefile":  "all:\n",
		"README.md": "# A `b` c!\n[x](docs/none.md) [y](#a-b-c) [z](#no) [w](/etc) [v](https://example.org) [u](docs)\n`make all` `make none`\n\n    $ make other\n",
		"docs/a.md": "[up](../README.md#a-b-c)\n",
		"a/a.go":    "// Package a is described in docs/spec/none.md and docs/a.md.\npackage a\n",
		"a/b.txt":   "\nsee example.invalid\n",
		"a/d.txt":   "one\n<<<<<<< HEAD\ntwo\n=======\nthree\n>>>>>>> other\n",
		"a/c.txt":   "fine: docs/" + "work/x\nbad: \"/" + "work/x\"\n",
	})
	p := readPapers(t, h.root)
	bad := slices.Concat(deadLinks(p), missingPages(h, p), missingTargets(p), foreign(p, []string{"example.invalid"}), halfMerged(p))
	complains(t, bad, "docs/none.md", "no such file")
	complains(t, bad, "#no", "no such heading")
	complains(t, bad, "/etc", "neither https nor")
	complains(t, bad, "a/a.go", "docs/spec/none.md")
	complains(t, bad, "make none")
	complains(t, bad, "make other")
	complains(t, bad, "a/b.txt:2", "example.invalid")
	complains(t, bad, "a/c.txt:2", "a place of one machine")
	complains(t, bad, "a/d.txt:2", "merge")
	if len(bad) != 9 {
		t.Errorf("%d complaints, want 9: %q", len(bad), bad)
	}
}
