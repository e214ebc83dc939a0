package object

import (
	"cmp"
	"debug/dwarf"
	"slices"
)

// origin is a function as the copies of it name it.
type origin struct {
	copies  int
	callers []dwarf.Offset // of the first few
}

// walk goes once through all entries: copies may come before what they are
// copies of.
type walk struct {
	wanted  map[string]bool
	origins map[dwarf.Offset]*origin
	names   map[dwarf.Offset]string
	same    map[dwarf.Offset]dwarf.Offset // an out-of-line copy and what it is one of
	left    uint64                        // entries and attributes that may still come
}

func (w *walk) all(r *dwarf.Reader) error {
	w.same = map[dwarf.Offset]dwarf.Offset{}
	var around []dwarf.Offset // functions the entry is in; 0: something else
	for {
		e, err := r.Next()
		if err != nil {
			return err
		}
		if e == nil {
			return nil
		}
		n := uint64(1 + len(e.Field))
		if n > w.left {
			return ErrTooLarge
		}
		w.left -= n
		if e.Tag == 0 {
			if len(around) > 0 {
				around = around[:len(around)-1]
			}
			continue
		}
		w.entry(e, around)
		if e.Children {
			around = append(around, within(e))
		}
	}
}

func within(e *dwarf.Entry) dwarf.Offset {
	if e.Tag == dwarf.TagSubprogram {
		return e.Offset
	}
	return 0
}

func (w *walk) entry(e *dwarf.Entry, around []dwarf.Offset) {
	switch e.Tag {
	case dwarf.TagSubprogram:
		name, _ := e.Val(dwarf.AttrLinkageName).(string)
		plain, _ := e.Val(dwarf.AttrName).(string)
		if name = cmp.Or(name, plain); name != "" {
			w.names[e.Offset] = name
		} else if of, ok := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset); ok {
			w.same[e.Offset] = of
		} else if of, ok := e.Val(dwarf.AttrSpecification).(dwarf.Offset); ok {
			w.same[e.Offset] = of
		}
	case dwarf.TagInlinedSubroutine:
		of, ok := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
		if !ok {
			return
		}
		o := w.origins[of]
		if o == nil {
			o = &origin{}
			w.origins[of] = o
		}
		o.copies++
		if len(o.callers) < maxCallers {
			o.callers = append(o.callers, outermost(around))
		}
	}
}

func outermost(around []dwarf.Offset) dwarf.Offset {
	for _, off := range around {
		if off != 0 {
			return off
		}
	}
	return 0
}

func (w *walk) name(off dwarf.Offset) string {
	for range 3 { // a copy, its origin, what that specifies
		if name, ok := w.names[off]; ok {
			return name
		}
		off = w.same[off]
	}
	return ""
}

func (w *walk) found() []Inline {
	all := map[string]*Inline{}
	for off, o := range w.origins {
		name := w.name(off)
		if !w.wanted[name] {
			continue
		}
		if all[name] == nil {
			all[name] = &Inline{Name: name}
		}
		all[name].Copies += o.copies
		for _, c := range o.callers {
			if caller := w.name(c); caller != "" {
				all[name].Callers = append(all[name].Callers, caller)
			}
		}
	}
	list := []Inline{}
	for _, in := range all {
		slices.Sort(in.Callers)
		in.Callers = slices.Compact(in.Callers)
		in.Callers = in.Callers[:min(len(in.Callers), maxCallers)]
		list = append(list, *in)
	}
	slices.SortFunc(list, func(a, b Inline) int { return cmp.Compare(a.Name, b.Name) })
	return list
}
