package inventory

import (
	"strings"

	"github.com/patchfit/patchfit/build/deb822"
)

// MaxCopyright is the most of a copyright file that is read.
const MaxCopyright = 4 << 20

// License returns, as an SPDX expression, what a machine-readable copyright file
// (DEP 5) says of a package as a whole: of "Files: *". It returns "" where there
// is no such file or it has a word that has no SPDX identifier; nothing is
// guessed.
func License(copyright []byte) string {
	if len(copyright) > MaxCopyright {
		return ""
	}
	first := true
	for s, err := range deb822.Parse(string(copyright)) {
		if err != nil || first && !strings.Contains(s.Get("Format"), "copyright-format") {
			return ""
		}
		first = false
		if files := strings.Fields(s.Get("Files")); len(files) == 1 && files[0] == "*" {
			name, _, _ := strings.Cut(s.Get("License"), "\n")
			return expression(name)
		}
	}
	return ""
}

// expression translates words joined by "and" and "or". A comma, which binds
// other than either, and "with" are not translated.
func expression(debian string) string {
	words := strings.Fields(debian)
	if len(words)%2 == 0 || len(words) > 15 {
		return ""
	}
	joint := ""
	for i, w := range words {
		if i%2 == 0 {
			if words[i] = identifier(w); words[i] == "" {
				return ""
			}
			continue
		}
		words[i] = strings.ToUpper(w)
		if words[i] != "AND" && words[i] != "OR" || joint != "" && words[i] != joint {
			return "" // mixed, it would need brackets nobody wrote
		}
		joint = words[i]
	}
	return strings.Join(words, " ")
}

// identifier returns the SPDX identifier of a short name of DEP 5; "" where
// none is known.
func identifier(debian string) string {
	switch strings.ToLower(debian) {
	case "expat":
		return "MIT"
	case "apache-2.0", "apache-2":
		return "Apache-2.0"
	case "bsd-2-clause":
		return "BSD-2-Clause"
	case "bsd-3-clause":
		return "BSD-3-Clause"
	case "bsd-4-clause":
		return "BSD-4-Clause"
	case "isc":
		return "ISC"
	case "zlib":
		return "Zlib"
	case "mpl-2.0":
		return "MPL-2.0"
	case "artistic":
		return "Artistic-1.0-Perl"
	case "artistic-2.0":
		return "Artistic-2.0"
	case "cc0-1.0", "cc0":
		return "CC0-1.0"
	case "python-2.0":
		return "PSF-2.0"
	}
	return gnu(debian)
}

// gnu translates the names of the GNU licences, as GPL-2+.
func gnu(debian string) string {
	name, version, ok := strings.Cut(debian, "-")
	number, later := strings.CutSuffix(version, "+")
	number = strings.TrimSuffix(number, ".0")
	known := map[string]string{
		"GPL": " 1 2 3 ", "LGPL": " 2 2.1 3 ", "AGPL": " 3 ", "GFDL": " 1.1 1.2 1.3 ",
	}
	if !ok || number == "" || !strings.Contains(known[name], " "+number+" ") {
		return ""
	}
	if !strings.Contains(number, ".") {
		number += ".0"
	}
	if later {
		return name + "-" + number + "-or-later"
	}
	return name + "-" + number + "-only"
}
