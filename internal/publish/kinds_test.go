package publish

import (
	"debug/elf"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build"
)

func TestBaseKind(t *testing.T) {
	for _, tt := range []struct {
		name  string
		facts build.Facts
		want  string // the kind, or a part of the error
	}{
		{"a library", build.Facts{Type: elf.ET_DYN, Soname: "libx.so.1"}, attest.BaseELFLibrary},
		{"a library that can be run", build.Facts{Type: elf.ET_DYN, Soname: "libc.so.6", Interpreter: "/lib64/ld.so"}, attest.BaseELFLibrary},
		{"a plugin", build.Facts{Type: elf.ET_DYN}, attest.BaseELFLibrary},
		{"a program that may lie anywhere", build.Facts{Type: elf.ET_DYN, Interpreter: "/lib64/ld.so"}, attest.BaseELFExecutable},
		{"a static program", build.Facts{Type: elf.ET_EXEC}, attest.BaseELFExecutable},
		{"a kernel", build.Facts{Type: elf.ET_EXEC, Kernel: true}, "is a kernel"},
		{"a module", build.Facts{Type: elf.ET_REL}, "is not linked"},
		{"a core", build.Facts{Type: elf.ET_CORE}, "ET_CORE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kind, err := baseKind(&tt.facts)
			if kind != tt.want && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%q, %v; want %q", kind, err, tt.want)
			}
		})
	}
}
