package lint_test

import (
	"debug/elf"
	"testing"

	"github.com/patchfit/patchfit/build/lint"
	"github.com/patchfit/patchfit/build/object/objecttest"
)

// TestTablesThatAreEverywhere: a module in which a thousand words lead to
// itself and all others to one table that is all of it is given up on.
func TestTablesThatAreEverywhere(t *testing.T) {
	const words = 50_000
	f := &objecttest.File{Symbols: []objecttest.Symbol{
		{Name: "table", Type: elf.STT_OBJECT, Section: ".data", Value: 16, Size: words*8 - 16},
		{Name: "__this_module", Bind: elf.STB_GLOBAL, Type: elf.STT_OBJECT, Section: ".data"},
	}}
	var links []objecttest.Relocation
	for i := range uint64(words) {
		to := ".data"
		if i%2 == 0 && i < 2000 {
			to = "__this_module"
		}
		links = append(links, objecttest.Relocation{Offset: 8 * i, Type: 1, Symbol: to, Addend: 16})
	}
	f.Sections = []objecttest.Section{
		{Name: ".modinfo", Flags: elf.SHF_ALLOC, Data: []byte("livepatch=Y\x00")},
		{Name: ".data", Flags: elf.SHF_ALLOC | elf.SHF_WRITE, Data: make([]byte, words*8), Relocations: links},
	}
	if r := look(t, f.Bytes(), nil, nil); !r.Has(lint.FileUnreadable) {
		t.Errorf("findings %+v", r.Findings)
	}
}
