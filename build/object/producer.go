package object

import (
	"debug/dwarf"
	"debug/elf"
	"io"
	"path"
	"slices"
)

// Producers returns what debug information of at most limit bytes says of how
// e was made: the directories it was compiled in or from, and what the compiler says
// of itself and its options. Each once, sorted.
func Producers(e *ELF, limit uint64) (dirs, compilers []string, err error) {
	if err := e.debugFits(limit); err != nil {
		return nil, nil, err
	}
	f, err := elf.NewFile(io.NewSectionReader(e.r, 0, int64(e.size)))
	if err != nil {
		return nil, nil, malformed("debug information", "%v", err)
	}
	d, err := f.DWARF()
	if err != nil {
		return nil, nil, malformed("debug information", "%v", err)
	}
	r := d.Reader()
	for left := limit; left > 0; left-- {
		entry, err := r.Next()
		if err != nil {
			return nil, nil, malformed("debug information", "%v", err)
		}
		if entry == nil {
			break
		}
		if entry.Tag == dwarf.TagCompileUnit {
			dirs = once(dirs, entry.Val(dwarf.AttrCompDir))
			if name, ok := entry.Val(dwarf.AttrName).(string); ok && path.IsAbs(name) {
				dirs = once(dirs, path.Dir(name))
			}
			compilers = once(compilers, entry.Val(dwarf.AttrProducer))
		}
	}
	slices.Sort(dirs)
	slices.Sort(compilers)
	return dirs, compilers, nil
}

// once adds a text that is not in list yet.
func once(list []string, v any) []string {
	s, ok := v.(string)
	if !ok || slices.Contains(list, s) || len(list) >= maxObjects {
		return list
	}
	return append(list, s)
}
