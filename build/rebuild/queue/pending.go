package queue

import (
	"net/url"
	"path/filepath"

	"github.com/patchfit/patchfit/attest"
)

// Pending returns the tasks of a server with runs that are still to be said,
// whether anybody waits for them or not: dissent counts after a quorum, too.
func (q *Queue) Pending(server string) ([]Task, error) {
	paths, err := filepath.Glob(filepath.Join(escaped(q.dir), escaped(url.PathEscape(server)), "*", "*", stateFile))
	if err != nil {
		return nil, err
	}
	var all []Task
	for _, path := range paths {
		dir := filepath.Dir(path)
		d, err := attest.ParseDigest("sha256:" + filepath.Base(dir))
		if err != nil {
			continue // nothing of ours
		}
		repository, err := url.PathUnescape(filepath.Base(filepath.Dir(dir)))
		if err != nil {
			continue
		}
		j, err := q.open(Task{Server: server, Repository: repository, Manifest: d})
		if err != nil {
			return nil, err
		}
		if !j.Done && len(j.Runs) > j.From {
			all = append(all, j.task)
		}
	}
	return all, nil
}

// escaped is a path as a pattern of itself.
func escaped(path string) string {
	var out []rune
	for _, r := range path {
		if r == '*' || r == '?' || r == '[' || r == '\\' {
			out = append(out, '\\')
		}
		out = append(out, r)
	}
	return string(out)
}
