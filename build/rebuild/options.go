package rebuild

import (
	"fmt"
	"slices"
	"strings"

	"github.com/patchfit/patchfit/build/object"
)

// maxDebug is how much debug information is read for the options it names.
const maxDebug = 256 << 20

// options says what debug information of both files tells of how each was
// compiled, where that differs; "" where nothing is told. It is what points at a
// build that was another than its provenance says.
func options(wanted, got *opened) string {
	a, b := words(wanted), words(got)
	if len(a) == 0 || len(b) == 0 {
		return ""
	}
	var parts []string
	if more := missing(a, b); len(more) > 0 {
		parts = append(parts, "the artifact says of itself that it was compiled with "+strings.Join(more, " ")+", which its provenance does not lead to")
	}
	if less := missing(b, a); len(less) > 0 {
		parts = append(parts, "its provenance leads to "+strings.Join(less, " ")+", which the artifact does not name")
	}
	return strings.Join(parts, "; ")
}

func words(o *opened) []string {
	e, err := object.Open(o.File, o.size)
	if err != nil {
		return nil
	}
	_, list, err := object.Producers(e, maxDebug)
	if err != nil {
		return nil
	}
	return strings.Fields(strings.Join(list, " "))
}

// missing returns the words of a that b has not, a few at most.
func missing(a, b []string) []string {
	const most = 8
	var list []string
	for _, w := range a {
		if !slices.Contains(b, w) && !slices.Contains(list, w) {
			list = append(list, w)
		}
	}
	if n := len(list) - most; n > 0 {
		list = append(list[:most], fmt.Sprintf("and %d more", n))
	}
	return list
}
