package state

import (
	"iter"
	"slices"
	"strings"
)

// A tagList is the tags of a repository that name visible manifests, sorted. It
// is not changed; it is good until a record changes what lists show.
type tagList struct {
	changed int64
	tags    []string
}

// sortedTags sorts again only what has changed: a page of a long list costs
// what a page of a short one does. [State.mu] is held, for reading at least.
func (repo *repository) sortedTags() []string {
	if have := repo.sorted.Load(); have != nil && have.changed == repo.changed {
		return have.tags
	}
	tags := make([]string, 0, len(repo.tags))
	for tag, d := range repo.tags {
		if repo.visible[d] {
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	repo.sorted.Store(&tagList{repo.changed, tags}) // whoever else sorted now found the same
	return tags
}

// Tags returns the tags of a repository that name visible manifests, sorted.
func (s *State) Tags(repository string) []string {
	return slices.Collect(s.TagsAfter(repository, ""))
}

// TagsAfter returns the tags that Tags does and that come after last, as of now.
func (s *State) TagsAfter(repository, last string) iter.Seq[string] {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(repository)
	if repo == nil {
		return slices.Values[[]string](nil)
	}
	tags := repo.sortedTags()
	i, found := slices.BinarySearchFunc(tags, last, strings.Compare)
	if found {
		i++
	}
	return slices.Values(tags[i:])
}
